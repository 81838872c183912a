"""The search for every module that blocks an export: guess from clues, prove by trials, fall back to bisection. No torch.

A generator: it yields questions, is sent outcomes, and returns when the culprits are known. Who
runs the trials, shows progress, steps or stops is no concern of the search.

A trial has three answers. One that failed alike counts against a module, one that passed for it,
and one that is unresolved, or that failed in another way, for neither (delta debugging's third
answer).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from onnx_debug.data.call_tree import Tree
from onnx_debug.data.culprit import Proof, ProofKind
from onnx_debug.data.failure import Clue, ClueKind, Failure
from onnx_debug.data.outcome import Outcome, Trial, TrialKind
from onnx_debug.data.stage import Stage
from onnx_debug.session.search.bisect_children import Bisection
from onnx_debug.session.search.findings import Finding, Findings, NextTrial, alike
from onnx_debug.session.search.inquiry import Inquiry, Steps, replacing
from onnx_debug.session.search.prove import CHILDREN_LIMIT, Prover

NECESSITY_LIMIT = 4  # one more trial of the whole model each would double the cost of many culprits
INNOCENT_SIBLINGS = 4  # in a row: then the class is not asked further
CLASSES_LIMIT = 8  # classes of which one instance is asked alone before a blind bisection
_DEFAULT_OPTIONS = "export the whole model with default options: is the request itself at fault?"
_FURTHER = (
    "it passes on the given inputs: try other values and sizes, and look at what was asked for"
)

Answering = Generator[NextTrial, Outcome, bool]


class Search:
    """One search.

    Args:
        tree: the model's modules and their calls.
        asks: whether anything is asked of the file's border or versions that could be at fault.
        surroundings: what is unusual around the call, such as autocast, in plain words.
    """

    def __init__(self, tree: Tree, *, asks: bool = True, surroundings: str = "") -> None:
        self._asks, self._surroundings = asks, surroundings
        self._inquiry = Inquiry(tree)
        self._ask = self._inquiry.ask
        self._prover, self._bisection = Prover(self._inquiry), Bisection(self._inquiry)

    @property
    def findings(self) -> Findings:
        """What is known so far, also in a search that was stopped."""
        return self._inquiry.findings

    def run(self) -> Steps:
        """Ask until the culprits are known."""
        whole = yield from self._ask(Trial(""), "export the whole model")
        if whole.ok:
            whole = yield from self._ask(Trial("", kind=TrialKind.FURTHER_INPUTS), _FURTHER)
        self.findings.whole = whole
        if whole.failure is None or whole.failure.stage is Stage.EAGER:
            return
        if any(clue.kind is ClueKind.DRIFT for clue in whole.failure.clues):
            return  # no module computes anything wrong
        if (yield from self._not_the_model(whole.failure)):
            return
        yield from self._rounds(whole)
        if not self.findings.request_at_fault:
            yield from self._drop_the_needless()

    # --- rounds

    def _rounds(self, outcome: Outcome) -> Steps:
        """Replace the culprits that are known, and look for the next in how the rest fails."""
        while outcome.failure is not None:
            before, failure = self.findings.names, outcome.failure
            whole = self.findings.whole
            if self._inquiry.is_broken(failure) and whole is not None and whole.failure is not None:
                outcome, failure = whole, whole.failure  # it says nothing: what is known goes on
            yield from self._round(outcome, failure)
            if self.findings.request_at_fault or self.findings.names == before:
                return
            if "" in self.findings.names and not self._inquiry.set_aside:
                yield from self._look_below_the_root()
                return
            replaced = self._inquiry.replaceable
            outcome = yield from self._ask(
                Trial("", replaced), replacing("check the rest of the model", replaced)
            )
            unknown = outcome.undecided or (
                outcome.failure is not None and self._inquiry.is_broken(outcome.failure)
            )
            self.findings.sufficient = None if unknown else outcome.ok

    def _round(self, outcome: Outcome, failure: Failure) -> Steps:
        found = yield from self._prover.first_of(self._clues(outcome, failure), failure)
        if found is not None:
            self.findings.add(found)
            yield from self._prove_scanned(outcome, failure)
            if self._has_twin(found):
                yield from self._ask_siblings(found)
            return
        if self._inquiry.is_artefact(failure) or (yield from self._siblings_of_culprits()):
            return
        if (yield from self._request_is_at_fault(failure)):
            self.findings.request_at_fault = True
            self.findings.culprits.clear()  # each of them failed on what is asked of all
            return
        yield from self._search_blind(outcome, failure)

    def _clues(self, outcome: Outcome, failure: Failure) -> list[Clue]:
        """What the failure names; beside placeholders it may name nobody, and what the whole model named still holds."""
        if failure.clues:
            return list(failure.clues)
        whole = self.findings.whole.failure if self.findings.whole is not None else None
        fixed = [hint for hint in outcome.hints if hint.kind is ClueKind.SPECIALIZATION]
        if fixed or whole is None or not alike(whole, failure):
            return fixed
        return list(whole.clues)

    def _prove_scanned(self, outcome: Outcome, failure: Failure) -> Steps:
        """One pass over the graph names every operator without translation: prove them all before the next whole trial.

        The pass is to be believed only where the failure itself is of that kind; a graph that could
        not be decomposed holds much that the exporter would still have taken away.
        """
        scanned = [clue for clue in outcome.hints if clue.kind is ClueKind.SCAN]
        if failure.op is None or failure.op not in {clue.op for clue in scanned}:
            return
        for clue in scanned:
            fqn = self._inquiry.known(clue.fqn)
            if fqn and not self._inquiry.is_closed(fqn):
                found = yield from self._prover.alone(fqn, clue, failure.about(clue))
                if found is not None:
                    self.findings.add(found)

    def _look_below_the_root(self) -> Steps:
        """The root cannot be replaced, so what else fails below it shows only alone."""
        children = [
            child for child in self._inquiry.children("") if child not in self.findings.names
        ]
        yield from self._prover.each_alone(children[:CHILDREN_LIMIT])
        if len(children) > CHILDREN_LIMIT:
            self.findings.notes.append(
                f"Only the first {CHILDREN_LIMIT} of {len(children)} children were tried for failures of their own."
            )

    # --- classes: several instances of one class often fail alike

    def _has_twin(self, found: Finding) -> bool:
        """Whether it is the second culprit of its class."""
        same = self._inquiry.tree.same_class(found.fqn) if found.fqn else ()
        return any(fqn in self.findings.names for fqn in same)

    def _siblings_of_culprits(self) -> Answering:
        """Other instances of the culprits' classes; True when one of them fails too."""
        before = self.findings.names
        for found in list(self.findings.culprits):
            if found.fqn and found.proof.kind is ProofKind.ALONE:
                yield from self._ask_siblings(found)
        return self.findings.names != before

    def _ask_siblings(self, found: Finding) -> Steps:
        """Ask the other instances of a culprit's class; those that are built alike inherit what is known of its code."""
        name, innocent = self._inquiry.class_of(found.fqn), 0
        for fqn in self._inquiry.tree.same_class(found.fqn):
            if not fqn or self._inquiry.is_closed(fqn):
                continue  # the root alone is the whole model
            trial = self._inquiry.alone(fqn)
            outcome = yield from self._ask(trial, f"another {name}: does it fail alone too?")
            if outcome.failure is None or not alike(outcome.failure, found.failure):
                self._inquiry.refuted.add(fqn)
                innocent += 1
                if innocent == INNOCENT_SIBLINGS:
                    return
                continue
            innocent = 0
            if not self._inquiry.built_alike(found.fqn, fqn):
                other = yield from self._prover.own_code(trial, outcome.failure, found.clue)
                if other is not None:
                    self.findings.add(other)
                continue
            own = [clue for clue in outcome.failure.clues if self._inquiry.known(clue.fqn) == fqn]
            proof = Proof(ProofKind.ALONE, found.proof.own_code_trial, reason=found.proof.reason)
            clue = own[0] if own else found.clue
            self.findings.add(
                replace(found, fqn=fqn, proof=proof, failure=outcome.failure, clue=clue, call=0)
            )

    def _search_blind(self, outcome: Outcome, failure: Failure) -> Steps:
        """Nothing names a module: one instance of each common class alone, then bisection."""
        for fqn in self._common_classes():
            trial = self._inquiry.alone(fqn)
            why = f"no module is named: does a {self._inquiry.class_of(fqn)} fail alone?"
            answer = yield from self._ask(trial, why)
            if answer.failure is not None and alike(answer.failure, failure):
                proof = Proof(ProofKind.ALONE, own_code_trial=True)
                found = Finding(fqn, True, proof, answer.failure)
                self.findings.add(found)
                yield from self._ask_siblings(found)
                return
        below = yield from self._bisection.below("", failure, self._inquiry.replaceable)
        clues = self._clues(outcome, failure)
        if below is None and clues and not self.findings.culprits:
            below = self._unproven(clues[0], failure)
        if below is not None:
            self.findings.add(below)

    def _common_classes(self) -> list[str]:
        """The first open instance of each class of innermost modules that has several, the most frequent first."""
        instances: dict[str, list[str]] = {}
        for fqn in self._inquiry.tree.called_in_order():
            if not self._inquiry.children(fqn) and not self._inquiry.is_closed(fqn):
                instances.setdefault(self._inquiry.class_of(fqn), []).append(fqn)
        common = [found for found in instances.values() if len(found) > 1]
        return [found[0] for found in sorted(common, key=len, reverse=True)[:CLASSES_LIMIT]]

    def _unproven(self, clue: Clue, failure: Failure) -> Finding:
        reason = "no trial reproduces the failure with this module alone or without it"
        proof = Proof(ProofKind.UNPROVEN, reason=reason)
        return Finding(self._inquiry.known(clue.fqn), True, proof, failure, clue=clue)

    # --- no module is to blame

    def _not_the_model(self, failure: Failure) -> Answering:
        """Is it what stands around the call, or the request as it is put, before any module is asked?"""
        if self._surroundings:
            why = f"does it fail without what is around the call ({self._surroundings})?"
            outcome = yield from self._ask(Trial("", kind=TrialKind.NEUTRAL), why)
            if not outcome.undecided and not alike(outcome.failure, failure):
                self.findings.request_at_fault = True
                return True
        fixed = any(clue.kind is ClueKind.SPECIALIZATION for clue in failure.clues)
        refused = failure.refuses_input and not fixed
        if failure.stage is Stage.OPTIONS and not self._file_was_written():
            outcome = yield from self._ask(
                Trial("", kind=TrialKind.DEFAULT_OPTIONS), _DEFAULT_OPTIONS
            )
            refused = not alike(outcome.failure, failure)
        self.findings.request_at_fault = refused or (
            failure.stage is Stage.OPTIONS and self._file_was_written()
        )
        return self.findings.request_at_fault

    def _file_was_written(self) -> bool:
        """Whether the whole model passed on the given inputs, and its file then lacked what was asked for."""
        return self._inquiry.answer(Trial("", kind=TrialKind.FURTHER_INPUTS)) is not None

    def _request_is_at_fault(self, failure: Failure) -> Answering:
        """Does the model fail so when nothing is asked of its borders and versions?"""
        fixed = any(clue.kind is ClueKind.SPECIALIZATION for clue in failure.clues)
        if fixed or not self._asks:
            return False  # a conflict about a dynamic size also goes away, but a module fixes it
        outcome = yield from self._ask(Trial("", kind=TrialKind.DEFAULT_OPTIONS), _DEFAULT_OPTIONS)
        if not outcome.without_failure_at(failure.stage) and (
            self.findings.culprits or not _goes_further(outcome.failure, failure)
        ):
            return False
        children = frozenset(self._inquiry.children(""))
        if not children:
            return True
        # One that no module fulfils is at fault; one that a module cannot fulfil is not.
        bare = yield from self._ask(Trial("", children), replacing("bisect the model", children))
        return not bare.without_failure_at(failure.stage)

    # --- after the culprits are known

    def _drop_the_needless(self) -> Steps:
        """A culprit without which the rest, with all others replaced, passes is none: it fails alone but does not block.

        A module that holds another culprit is asked first: the smaller one is enough, or it is not.
        """
        asked: set[str] = set()
        while self.findings.sufficient is True:
            finding = next((one for one in self._doubtful() if one.fqn not in asked), None)
            if finding is None:
                return
            asked.add(finding.fqn)
            yield from self._ask_whether_needed(finding)

    def _ask_whether_needed(self, finding: Finding) -> Steps:
        fqn, culprits = finding.fqn, self.findings.culprits
        others = self._inquiry.replaceable - {fqn}
        why = f"is {fqn} needed? Everything else is replaced"
        outcome = yield from self._ask(Trial("", others), why)
        if outcome.ok:
            culprits.remove(finding)
            self.findings.notes.append(f"{fqn} also fails alone, but {self._needless(fqn)}.")
            return
        proof = replace(finding.proof, necessary=True if outcome.failed else None)
        culprits[culprits.index(finding)] = replace(finding, proof=proof)

    def _needless(self, fqn: str) -> str:
        """Why the model can do without a culprit."""
        around = [one for one in self._inquiry.tree.ancestors(fqn) if one in self.findings.names]
        if around:
            return f"it is a part of {around[0]}, which is to blame without it too"
        return "does not block: with the others replaced the model passes"

    def _doubtful(self) -> list[Finding]:
        """Whose need is asked: all of a few; of many, those that hold another one or did not fail alone."""
        culprits = [finding for finding in self.findings.culprits if finding.fqn]
        holds = {
            finding.fqn: bool(self._inquiry.tree.below(finding.fqn) & self.findings.names)
            for finding in culprits
        }
        culprits.sort(key=lambda finding: not holds[finding.fqn])
        if len(culprits) <= NECESSITY_LIMIT:
            return culprits
        return [
            finding
            for finding in culprits
            if holds[finding.fqn] or finding.proof.kind is not ProofKind.ALONE
        ][:NECESSITY_LIMIT]


def _goes_further(failure: Failure | None, than: Failure) -> bool:
    order = list(Stage)
    return failure is not None and order.index(failure.stage) > order.index(than.stage)
