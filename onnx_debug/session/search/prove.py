"""Prove, or refute, the modules that a failure names: alone, by what is around them, in place, or as the whole model. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from onnx_debug.data.culprit import Proof, ProofKind
from onnx_debug.data.failure import Clue, ClueKind, Failure
from onnx_debug.data.outcome import Trial, TrialKind
from onnx_debug.data.stage import Stage
from onnx_debug.session.search.bisect_children import Bisection
from onnx_debug.session.search.findings import Finding, alike
from onnx_debug.session.search.inquiry import Inquiry, Proving, Steps

CALLS_LIMIT = 3  # calls of one module, with other shapes or arguments, that are tried alone
CHILDREN_LIMIT = 12  # children of one module that are asked alone

# The failure itself names the module. Hints name every module that could be part of it.
_NAMES_ONE = (ClueKind.FRAME, ClueKind.NODE, ClueKind.RUNNING)
# The clue names a line or an operator of the module itself, not only the module.
_NAMES_ITS_CODE = (ClueKind.FRAME, ClueKind.NODE, ClueKind.SCAN, ClueKind.SPECIALIZATION)


class Prover:
    """Turns clues into culprits."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry, self._bisection = inquiry, Bisection(inquiry)

    def first_of(self, clues: Sequence[Clue], failure: Failure) -> Proving:
        """The first culprit that the clues lead to: every named module is asked alone before any container is."""
        named = self._named(clues)
        for fqn, clue in named.items():
            found = (yield from self.alone(fqn, clue, failure)) if fqn else None
            if found is not None:
                return found
        for fqn, clue in named.items():
            way = self._around(fqn, clue, failure) if fqn else self._root(clue, failure)
            found = yield from way
            if found is not None:
                return found
            self._inquiry.refuted.add(fqn)
        return None

    def alone(self, fqn: str, clue: Clue, failure: Failure) -> Proving:
        """The module, or a part of it, when it fails alike with the inputs that it gets in the model."""
        for trial, why in self._ways_alone(fqn):
            outcome = yield from self._inquiry.ask(trial, f"does {fqn} fail alone{why}?")
            if outcome.failure is not None and alike(outcome.failure, failure):
                return (yield from self.own_code(trial, outcome.failure, clue))
        return None

    def each_alone(self, children: Iterable[str]) -> Steps:
        """Children of a model whose own code is to blame: what else fails in them shows only alone."""
        for child in children:
            outcome = yield from self._inquiry.ask(
                self._inquiry.alone(child),
                f"the whole model is to blame: does {child} also fail by itself?",
            )
            if outcome.failure is None or not outcome.failure.clues:
                continue
            found = yield from self.first_of(outcome.failure.clues[:1], outcome.failure)
            if found is not None and found.proof.kind is ProofKind.ALONE:
                self._inquiry.findings.add(found)

    def _named(self, clues: Sequence[Clue]) -> dict[str, Clue]:
        """The modules that are still to be asked, each with its best clue.

        ONNX Runtime names the node that refuses a value, and a tracer warns of every line that
        froze something: first come the modules that are, or hold, the one with that node.
        """
        nodes = {
            self._inquiry.known(clue.fqn) for clue in clues if clue.kind is ClueKind.RUNTIME_NODE
        }
        near = nodes | {around for node in nodes for around in self._inquiry.tree.ancestors(node)}
        found: dict[str, Clue] = {}
        for clue in sorted(clues, key=lambda clue: self._inquiry.known(clue.fqn) not in near):
            fqn = self._inquiry.known(clue.fqn)
            if not self._inquiry.is_closed(fqn):
                found.setdefault(fqn, clue)
        return found

    def _ways_alone(self, fqn: str) -> Iterator[tuple[Trial, str]]:
        """Calls with other shapes, then the inputs as eager recorded them, where the capture saw others."""
        first = self._inquiry.alone(fqn)
        yield first, ""
        for call in self._inquiry.tree.differing_calls(fqn)[1:CALLS_LIMIT]:
            yield self._inquiry.alone(fqn, call=call), f", with the inputs of its call {call + 1}"
        answered = self._inquiry.answer(first)
        if answered is None or not answered.inputs_as_in_eager:
            yield replace(first, kind=TrialKind.EAGER_INPUTS), ", with its inputs as in eager"

    # --- a module that fails alone

    def own_code(self, trial: Trial, failure: Failure, clue: Clue | None) -> Proving:
        """The module of a trial that failed alone, or the child in it that is to blame."""
        fqn, inquiry = trial.module, self._inquiry
        own = next((found for found in failure.clues if inquiry.known(found.fqn) == fqn), None)
        if own is not None:  # seen again alone; what only the whole model told stays
            whole = clue if clue is not None and inquiry.known(clue.fqn) == fqn else None
            clue = _with_what_led_there(own, whole) if whole is not None else own
        named = clue is not None and inquiry.known(clue.fqn) == fqn
        proven = Proof(ProofKind.ALONE, own_code_trial=True)
        culprit = Finding(fqn, True, proven, failure, trial.call, clue)
        twin = self._twin(fqn, failure)
        if twin is not None:
            proof = Proof(ProofKind.ALONE, twin.proof.own_code_trial, reason=twin.proof.reason)
            return replace(culprit, own_code=twin.own_code, proof=proof)
        children = inquiry.children(fqn)
        if not children:
            return culprit
        outcome = yield from inquiry.ask(
            replace(trial, stubs=trial.stubs | set(children)),
            f"with everything inside {fqn} replaced, does it still fail?",
        )
        if alike(outcome.failure, failure):
            return culprit
        passes, says_so = (
            outcome.without_failure_at(failure.stage),
            named and clue is not None and clue.kind in _NAMES_ITS_CODE,
        )
        if says_so:  # the failure names a line of its own: whether children take part is open
            return replace(culprit, proof=Proof(ProofKind.ALONE))
        if not passes:
            reason = outcome.undecided or "with its children replaced it fails in another way"
            return replace(culprit, own_code=named, proof=Proof(ProofKind.ALONE, reason=reason))
        found = yield from self._guilty_child(fqn, failure, clue)
        return found or self._interaction(culprit, children, named=named)

    def _twin(self, fqn: str, failure: Failure) -> Finding | None:
        """A module built alike that was shown to fail alike: what is known of its code holds for both."""
        for known in self._inquiry.findings.culprits:
            if (
                self._inquiry.built_alike(known.fqn, fqn)
                and known.proof.kind is ProofKind.ALONE
                and alike(known.failure, failure)
            ):
                return known
        return None

    def _guilty_child(self, fqn: str, failure: Failure, clue: Clue | None) -> Proving:
        """The first child that fails alone too, of a module that passes with all of them replaced."""
        for child in self._inquiry.children(fqn)[:CHILDREN_LIMIT]:
            if child in self._inquiry.findings.names:
                continue  # the module failed with it replaced
            trial = self._inquiry.alone(child)
            outcome = yield from self._inquiry.ask(
                trial, f"{fqn} passes with its children replaced: does {child} fail alone?"
            )
            if outcome.failure is not None and alike(outcome.failure, failure):
                return (yield from self.own_code(trial, outcome.failure, clue))
        return None

    def _interaction(self, around: Finding, children: Sequence[str], *, named: bool) -> Finding:
        """A module that fails alone although none of its children does, as far as they answered."""
        reason = ""
        unknown = [child for child in children[:CHILDREN_LIMIT] if not self._is_known(child)]
        if len(children) > CHILDREN_LIMIT:
            reason = f"only {CHILDREN_LIMIT} of its children were asked alone"
        elif unknown:
            reason = f"whether {' or '.join(unknown)} fails alone could not be found out"
        kind = ProofKind.ALONE if named else ProofKind.ANCESTOR
        proof = Proof(kind, own_code_trial=None if reason else True, reason=reason)
        return replace(around, own_code=named, proof=proof)

    def _is_known(self, child: str) -> bool:
        """Whether the child alone passed or failed, or is a culprit by itself."""
        outcome = self._inquiry.answer(self._inquiry.alone(child))
        answered = outcome is not None and not outcome.undecided
        return answered or child in self._inquiry.findings.names

    # --- a module that passes alone, or fails otherwise

    def _around(self, fqn: str, clue: Clue, failure: Failure) -> Proving:
        """A module that passes alone needs what is around it; one that fails otherwise is asked in place first."""
        ways = (self._climb, self._in_place)
        for way in ways if self._inquiry.passes_alone(fqn, failure.stage) else reversed(ways):
            found = yield from way(fqn, clue, failure)
            if found is not None:
                return found
        return None

    def _climb(self, fqn: str, clue: Clue, failure: Failure) -> Proving:
        """What is to blame in the smallest module around the named one that fails alone."""
        for ancestor in self._inquiry.tree.ancestors(fqn):
            if ancestor == "" or ancestor in self._inquiry.findings.names:
                return None
            trial = self._inquiry.alone(ancestor)
            outcome = yield from self._inquiry.ask(
                trial, f"{fqn} does not fail so alone: does {ancestor}, which calls it?"
            )
            if outcome.failure is not None and alike(outcome.failure, failure):
                found = yield from self.own_code(trial, outcome.failure, clue)
                if found is not None and found.proof.kind is ProofKind.ANCESTOR:
                    self._inquiry.findings.notes.append(
                        f"{ancestor} fails alone, and none of the modules that it calls does so alone."
                    )
                return found
        return None

    def _in_place(self, fqn: str, clue: Clue, failure: Failure) -> Proving:
        """Does the failure go away when the module is replaced?

        Wrong numbers always do: a placeholder feeds eager's values.
        """
        if failure.stage is Stage.COMPARE or self._inquiry.is_artefact(failure):
            return None
        outcome = yield from self._inquiry.ask(
            Trial("", self._inquiry.replaceable | {fqn}),
            f"{fqn} does not fail so alone: does the model pass it when it is replaced?",
        )
        if outcome.without_failure_at(failure.stage) or self._moved(clue, outcome.failure):
            return Finding(fqn, True, Proof(ProofKind.IN_PLACE), failure, clue=clue)
        return None

    def _moved(self, clue: Clue, failure: Failure | None) -> bool:
        """Whether the failure named one module, and now names another one."""
        first = failure.clues[0] if failure is not None and failure.clues else None
        return (
            first is not None
            and clue.kind in _NAMES_ONE
            and first.kind in _NAMES_ONE
            and self._inquiry.known(first.fqn) != self._inquiry.known(clue.fqn)
        )

    # --- the whole model

    def _root(self, clue: Clue, failure: Failure) -> Proving:
        """The failure names the whole model's own code. A child can still be part of it, by what it returns."""
        inquiry = self._inquiry
        children = [child for child in inquiry.children("") if child not in inquiry.replaceable]
        outcome = yield from inquiry.ask(
            Trial("", inquiry.replaceable | set(children)),
            "with everything inside the model replaced, does it still fail?",
        )
        culprit = Finding("", True, Proof(ProofKind.ROOT, own_code_trial=True), failure, clue=clue)
        if alike(outcome.failure, failure):
            return culprit
        if not outcome.without_failure_at(failure.stage):
            reason = (
                outcome.undecided or "with all children replaced the model fails in another way"
            )
            return replace(culprit, proof=Proof(ProofKind.UNPROVEN, reason=reason))
        if clue.kind is not ClueKind.FRAME:
            return None  # a child is to blame: bisection finds it
        partners = yield from self._bisection.smallest_failing(
            "", children, failure, inquiry.replaceable
        )
        inquiry.set_aside |= set(partners)
        yield from self.each_alone(partners)
        inquiry.findings.notes.append(
            f"The model's own code fails only on what {', '.join(partners)} returns."
        )
        return replace(culprit, proof=Proof(ProofKind.ROOT))


def _with_what_led_there(own: Clue, whole: Clue) -> Clue:
    """The clue of a module alone, with what only the whole model tells: why it is suspected, and the line that calls it."""
    # The line that draws random numbers was watched; a module alone only knows where values differ.
    watched = whole.kind is ClueKind.RANDOM and own.kind is not ClueKind.RANDOM
    found = own
    if whole.source is not None and (watched or own.source in whole.below):
        found = replace(own, source=whole.source, below=whole.below)
    if own.reason and not (whole.reason and whole.kind is own.kind):
        return found
    return replace(
        found, kind=whole.kind, reason=whole.reason
    )  # in the names of the model's inputs
