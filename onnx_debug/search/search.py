"""The search for every module that blocks an export: guess from clues, prove by trials, fall back to bisection. No torch.

A generator: it yields questions, is sent outcomes, and returns its findings. Who runs the trials,
shows progress, steps or stops is no concern of the search.

A trial has three answers. One that failed alike counts against a module, one that passed for it,
and one that is unresolved, or that failed in another way, for neither: it is never taken for a
passing or a failing one (delta debugging's third answer).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace

from onnx_debug.data.call_tree import Tree
from onnx_debug.data.diagnosis import Proof, ProofKind
from onnx_debug.data.outcome import Clue, ClueKind, Failure, Outcome, Stage, Trial, TrialKind
from onnx_debug.search.ddmin import smallest_failing
from onnx_debug.search.findings import Finding, Findings, Question, alike

CHILDREN_LIMIT = 12  # of a guilty root that are asked alone
NECESSITY_LIMIT = 4  # above this many culprits one trial each would double the cost of a diagnosis
_DEFAULT_OPTIONS = "export the whole model with default options: is the request itself at fault?"


# Clues that name a line or an operator of the module itself, not only the module.
_NAMES_ITS_CODE = (ClueKind.FRAME, ClueKind.NODE, ClueKind.SCAN, ClueKind.SPECIALIZATION)

Ask = Generator[Question, Outcome, Outcome]
Steps = Generator[Question, Outcome, None]
Proving = Generator[Question, Outcome, Finding | None]
Chosen = Generator[Question, Outcome, list[str]]


class Search:
    """One search. `findings` is up to date at every yield, so a stopped search keeps what it found."""

    def __init__(self, tree: Tree) -> None:
        self.findings = Findings()
        self._tree = tree
        self._answers: dict[Trial, Outcome] = {}
        self._refuted: set[str] = set()
        self._set_aside: frozenset[str] = frozenset()

    def run(self) -> Steps:
        """Ask until the culprits are known."""
        whole = yield from self._ask(Trial(""), "export the whole model")
        if whole.ok:
            why = "it passes on the given inputs: try other values and sizes, and look at what was asked for"
            whole = self._answers[Trial("")] = yield from self._ask(
                Trial("", kind=TrialKind.FURTHER_INPUTS), why
            )
        self.findings.whole = whole
        if (
            whole.failure is None
            or whole.failure.stage is Stage.EAGER
            or (yield from self._request_is_refused(whole.failure))
        ):
            return
        outcome = whole
        while outcome.failure is not None:
            before = self.findings.names
            yield from self._find(outcome)
            if self.findings.request_at_fault or self.findings.names == before:
                break
            if "" in self.findings.names and not self._set_aside:
                yield from self._look_below_the_root()
                break
            outcome = yield from self._ask(
                Trial("", stubs=self._replaceable),
                _replaced("check the rest of the model", self._replaceable),
            )
        self._conclude()
        yield from self._prove_necessity()

    @property
    def _replaceable(self) -> frozenset[str]:
        """What a trial of the rest replaces: the culprits, and what only together with the root's own code fails."""
        return (self.findings.names | self._set_aside) - {""}

    def _ask(self, trial: Trial, why: str) -> Ask:
        """Yield a question once; a repeated one is answered from memory."""
        if trial not in self._answers:
            self._answers[trial] = yield Question(trial, why)
        return self._answers[trial]

    def _alone(self, fqn: str, stubs: Iterable[str] = (), *, call: int = 0) -> Trial:
        """The module by itself, with the culprits that are already known inside it replaced: they would hide what else fails there."""
        known = self._replaceable & self._tree.below(fqn) if self._replaceable else frozenset()
        return Trial(fqn, frozenset(stubs) | known, call)

    def _conclude(self) -> None:
        """What is left when all culprits are replaced."""
        last = self._answers.get(Trial("", stubs=self._replaceable))
        if not self._replaceable or last is None:
            return
        self.findings.sufficient = None if last.undecided else last.ok
        self.findings.rest = last.failure

    # --- one round: the culprits that one failure leads to

    def _find(self, outcome: Outcome) -> Steps:
        failure = outcome.failure
        assert failure is not None
        if any(clue.kind is ClueKind.DRIFT for clue in failure.clues):
            return  # no module computes anything wrong
        clues = list(failure.clues) or [
            hint for hint in outcome.hints if hint.kind is ClueKind.SPECIALIZATION
        ]
        whole = self.findings.whole
        if (
            not clues
            and failure.stage is Stage.COMPARE
            and whole is not None
            and alike(whole.failure, failure)
        ):
            clues = (
                list(whole.failure.clues) if whole.failure is not None else []
            )  # beside placeholders wrong numbers name nobody
        found = yield from self._prove_first(clues, failure)
        if found is not None:
            yield from self._prove_scanned(outcome, failure)
            yield from self._sweep_class(found)
            return
        if self._is_artefact(failure):
            return
        if (yield from self._request_is_at_fault(failure)):
            self.findings.request_at_fault = True
            self.findings.culprits.clear()  # each of them failed on what is asked of all
            return
        found = yield from self._bisect("", failure, self._replaceable)
        if found is None and clues and not self.findings.culprits:
            found = self._unproven(clues[0], failure)
        if found is not None:
            self._add(found)
            yield from self._sweep_class(found)

    def _prove_first(self, clues: Sequence[Clue], failure: Failure) -> Proving:
        for clue in clues:
            found = yield from self._prove(clue, failure)
            if found is not None:
                self._add(found)
                return found
        return None

    def _prove_scanned(self, outcome: Outcome, failure: Failure) -> Steps:
        """One pass over the graph names every operator without translation: prove them all before the next whole trial.

        The pass is to be believed only where the failure itself is of that kind; a graph that could
        not be decomposed holds much that the exporter would still have taken away.
        """
        scanned = [clue for clue in outcome.hints if clue.kind is ClueKind.SCAN]
        if failure.op is None or failure.op not in {clue.op for clue in scanned}:
            return
        for clue in scanned:
            fqn = self._known(clue.fqn)
            if fqn == "" or fqn in self.findings.names:
                continue
            expected = replace(
                failure,
                signature=failure.signature.replace(failure.op, clue.op or ""),
                op=clue.op,
                clues=(clue,),
            )
            call, alone = yield from self._fails_alone(fqn, expected)
            if alone is not None and alone.failure is not None:
                found = yield from self._own_code(fqn, call, alone.failure, clue)
                if found is not None:
                    self._add(found)

    def _sweep_class(self, found: Finding) -> Steps:
        """From the second culprit of one class on, ask all other instances at once; they inherit what is known of the class."""
        name = self._tree.modules[found.fqn].class_name
        twins = [
            finding
            for finding in self.findings.culprits
            if self._tree.modules[finding.fqn].class_name == name
        ]
        if len(twins) < 2 or found.fqn == "":
            return
        for fqn in self._tree.same_class(found.fqn):
            if fqn in self.findings.names or fqn in self._refuted:
                continue
            outcome = yield from self._ask(
                self._alone(fqn), f"another {name}: does it fail alone too?"
            )
            if outcome.failure is not None and alike(outcome.failure, found.failure):
                clue = next(
                    (clue for clue in outcome.failure.clues if self._known(clue.fqn) == fqn),
                    found.clue,
                )
                self._add(
                    replace(
                        found,
                        fqn=fqn,
                        proof=Proof(ProofKind.ALONE, found.proof.own_code_trial),
                        failure=outcome.failure,
                        clue=clue,
                        call=0,
                    )
                )
            else:
                self._refuted.add(fqn)

    def _request_is_refused(self, failure: Failure) -> Generator[Question, Outcome, bool]:
        """Does it fail before the model runs, and only because of what is asked? What the model holds can fail there too."""
        if failure.stage is not Stage.OPTIONS:
            return False
        if (
            Trial("", kind=TrialKind.FURTHER_INPUTS) not in self._answers
        ):  # else the file exists, and lacks what was asked for
            outcome = yield from self._ask(Trial("", kind=TrialKind.NEUTRAL), _DEFAULT_OPTIONS)
            if alike(outcome.failure, failure):
                return False
        self.findings.request_at_fault = True
        return True

    def _request_is_at_fault(self, failure: Failure) -> Generator[Question, Outcome, bool]:
        """Does the model fail so when nothing is asked of its borders and versions?"""
        if any(clue.kind is ClueKind.SPECIALIZATION for clue in failure.clues):
            return False  # a conflict about a dynamic size also goes away, but a module fixes that size
        outcome = yield from self._ask(Trial("", kind=TrialKind.NEUTRAL), _DEFAULT_OPTIONS)
        if not outcome.without_failure_at(failure.stage) and (
            self.findings.culprits or not _goes_further(outcome.failure, failure)
        ):
            return False
        children = self._children("")
        bare = yield from self._ask(
            Trial("", stubs=frozenset(children)), _replaced("bisect the model", children)
        )
        return not (
            children and bare.without_failure_at(failure.stage)
        )  # a request that no module fulfils is at fault; one that a module cannot fulfil is not

    def _is_artefact(self, failure: Failure) -> bool:
        """A failure at a later stage that shows only beside placeholders makes no culprit unless a module fails alone."""
        whole = self.findings.whole
        first = whole.failure if whole is not None else None
        order = list(Stage)
        return (
            bool(self.findings.culprits)
            and first is not None
            and order.index(failure.stage) > order.index(first.stage)
        )

    # --- proving one clue

    def _prove(self, clue: Clue, failure: Failure) -> Proving:
        fqn = self._known(clue.fqn)
        if fqn in self.findings.names or fqn in self._refuted:
            return None
        if fqn == "":
            found = yield from self._prove_root(clue, failure)
            return found
        call, outcome = yield from self._fails_alone(fqn, failure)
        if outcome is not None and outcome.failure is not None:
            found = yield from self._own_code(fqn, call, outcome.failure, clue)
            return found
        ways = [self._climb, self._in_place]  # a module that passes alone needs what is around it
        if not self._answers[self._alone(fqn)].without_failure_at(failure.stage):
            ways.reverse()  # alone it fails too, if in another way
        found = None
        for way in ways:
            found = found or (yield from way(fqn, clue, failure))
        if found is None:
            self._refuted.add(fqn)
        return found

    def _fails_alone(
        self, fqn: str, failure: Failure
    ) -> Generator[Question, Outcome, tuple[int, Outcome | None]]:
        """Does a call of the module fail alike when it is exported alone? Calls with other shapes come next, then eager's inputs."""
        for call in self._tree.differing_calls(fqn)[:3] or (0,):
            outcome = yield from self._ask(
                self._alone(fqn, call=call),
                f"does {fqn} fail alone"
                + (f", with the inputs of its call {call + 1}?" if call else "?"),
            )
            if alike(outcome.failure, failure):
                return call, outcome
        outcome = yield from self._ask(
            replace(self._alone(fqn), kind=TrialKind.EAGER_INPUTS),
            f"does {fqn} fail alone with its inputs as recorded in eager?",
        )
        return 0, outcome if alike(outcome.failure, failure) else None

    def _own_code(self, fqn: str, call: int, failure: Failure, clue: Clue) -> Proving:
        """The module fails alone: is it its own code, or a child's?"""
        own = next((found for found in failure.clues if self._known(found.fqn) == fqn), None)
        if own is not None:  # seen again alone; what only the whole model told stays
            clue = _with_what_led_there(own, clue) if self._known(clue.fqn) == fqn else own
        children = () if self._known_of_class(fqn, failure) else self._children(fqn)
        at_fault = Finding(
            fqn,
            own_code=True,
            proof=Proof(ProofKind.ALONE, own_code_trial=True),
            failure=failure,
            call=call,
            clue=clue,
        )
        if not children:
            return at_fault
        why = f"with everything inside {fqn} replaced, does it still fail?"
        outcome = yield from self._ask(self._alone(fqn, children, call=call), why)
        if alike(outcome.failure, failure):
            return at_fault
        named = self._known(clue.fqn) == fqn
        if outcome.without_failure_at(failure.stage) and not (
            named and clue.kind in _NAMES_ITS_CODE
        ):
            found = yield from self._guilty_child(fqn, call, failure, clue)
            return found or replace(at_fault, own_code=named)
        reason = (
            "its own code cannot be tried without what its children return"
            if outcome.without_failure_at(failure.stage)
            else outcome.undecided or "with its children replaced it fails in another way"
        )
        return replace(
            at_fault,
            own_code=named,
            proof=Proof(ProofKind.ALONE, own_code_trial=None, reason=reason),
        )

    def _known_of_class(self, fqn: str, failure: Failure) -> bool:
        """Whether another instance of the class was shown to fail alike by its own code: one proof holds for the class."""
        name = self._tree.modules[fqn].class_name
        return any(
            self._tree.modules[known.fqn].class_name == name
            and known.proof.own_code_trial is True
            and alike(known.failure, failure)
            for known in self.findings.culprits
        )

    def _guilty_child(self, fqn: str, call: int, failure: Failure, clue: Clue) -> Proving:
        """Which child of a module that fails alone, and passes with all children replaced, fails alone too?"""
        for child in self._children(fqn):
            outcome = yield from self._ask(
                self._alone(child),
                f"{fqn} passes with its children replaced: does {child} fail alone?",
            )
            if alike(outcome.failure, failure):
                assert outcome.failure is not None
                found = yield from self._own_code(child, 0, outcome.failure, clue)
                if found is not None and (yield from self._passes_without(fqn, call, found.fqn)):
                    return found
        return None

    def _passes_without(
        self, fqn: str, call: int, child: str
    ) -> Generator[Question, Outcome, bool]:
        """Replacing the guilty child must be enough; else the module around it is to blame as well."""
        outcome = yield from self._ask(
            self._alone(fqn, [child], call=call), f"is replacing {child} enough for {fqn} to pass?"
        )
        return not outcome.failed

    def _climb(self, fqn: str, clue: Clue, failure: Failure) -> Proving:
        """The named module passes alone: the smallest module around it that fails alone holds an interaction."""
        for ancestor in self._tree.ancestors(fqn):
            if ancestor == "" or ancestor in self.findings.names:
                return None
            outcome = yield from self._ask(
                self._alone(ancestor),
                f"{fqn} does not fail so alone: does {ancestor}, which calls it?",
            )
            if alike(outcome.failure, failure):
                assert outcome.failure is not None
                alone = (
                    "exports alone"
                    if self._answers[self._alone(fqn)].without_failure_at(failure.stage)
                    else "does not fail so alone"
                )
                self.findings.notes.append(
                    f"{fqn} {alone}; together with what {ancestor} does around it, it fails."
                )
                return Finding(
                    ancestor,
                    own_code=False,
                    proof=Proof(ProofKind.ANCESTOR),
                    failure=outcome.failure,
                    clue=clue,
                )
        return None

    def _in_place(self, fqn: str, clue: Clue, failure: Failure) -> Proving:
        """Does the failure go away when the module is replaced? Wrong numbers always do: a placeholder feeds eager's values."""
        if failure.stage is Stage.COMPARE or self._is_artefact(failure):
            return None
        stubs = self._replaceable | {fqn}
        outcome = yield from self._ask(
            Trial("", stubs=stubs),
            f"{fqn} does not fail so alone: does the model pass it when it is replaced?",
        )
        moved = (
            outcome.failure is not None
            and bool(outcome.failure.clues)
            and self._known(outcome.failure.clues[0].fqn) != fqn
        )
        if outcome.without_failure_at(failure.stage) or moved:
            return Finding(
                fqn, own_code=True, proof=Proof(ProofKind.IN_PLACE), failure=failure, clue=clue
            )
        return None

    def _prove_root(self, clue: Clue, failure: Failure) -> Proving:
        """The failure names the whole model's own code. A child can still be part of it, by what it returns."""
        children = [child for child in self._children("") if child not in self._replaceable]
        stubs = self._replaceable | set(children)
        outcome = yield from self._ask(
            Trial("", stubs=stubs), "with everything inside the model replaced, does it still fail?"
        )
        if alike(outcome.failure, failure):
            return Finding(
                "",
                own_code=True,
                proof=Proof(ProofKind.ROOT, own_code_trial=True),
                failure=failure,
                clue=clue,
            )
        if not outcome.without_failure_at(failure.stage):
            reason = (
                outcome.undecided or "with all children replaced the model fails in another way"
            )
            return Finding(
                "",
                own_code=True,
                proof=Proof(ProofKind.UNPROVEN, reason=reason),
                failure=failure,
                clue=clue,
            )
        if clue.kind is not ClueKind.FRAME:
            return None  # a child is to blame: bisection finds it
        partners = yield from self._smallest_failing("", children, failure, self._replaceable)
        self._set_aside |= set(partners)
        yield from self._ask_alone(partners)
        self.findings.notes.append(
            f"The model's own code fails only on what {', '.join(partners)} returns."
        )
        return Finding("", own_code=True, proof=Proof(ProofKind.ROOT), failure=failure, clue=clue)

    def _unproven(self, clue: Clue, failure: Failure) -> Finding:
        reason = "no trial reproduces the failure with this module alone or without it"
        return Finding(
            self._known(clue.fqn),
            own_code=True,
            proof=Proof(ProofKind.UNPROVEN, reason=reason),
            failure=failure,
            clue=clue,
        )

    # --- without a clue

    def _bisect(self, fqn: str, failure: Failure, stubs: frozenset[str]) -> Proving:
        """Find the part of `fqn` without which the failure goes away, by replacing halves of its children."""
        children = [child for child in self._children(fqn) if child not in stubs]
        outcome = yield from self._ask(
            Trial(fqn, stubs=stubs | set(children)),
            _replaced(f"bisect {fqn or 'the model'}", children),
        )
        if alike(outcome.failure, failure):
            kind = ProofKind.ROOT if fqn == "" else ProofKind.ALONE
            return Finding(
                fqn, own_code=True, proof=Proof(kind, own_code_trial=True), failure=failure
            )
        if not outcome.without_failure_at(failure.stage):
            found = yield from self._first_failing(children, failure)
            return found or self._whole_is_left(fqn, failure)
        guilty = yield from self._smallest_failing(fqn, children, failure, stubs)
        if len(guilty) > 1:
            found = yield from self._first_failing(guilty, failure)
            if found is not None:
                return found
            self.findings.notes.append(
                f"{fqn or 'The model'} fails only when these are together: {', '.join(guilty)}."
            )
            return Finding(fqn, own_code=False, proof=Proof(_kind(fqn)), failure=failure)
        return (yield from self._go_down(guilty[0], failure))

    def _go_down(self, child: str, failure: Failure) -> Proving:
        outcome = yield from self._ask(self._alone(child), f"does {child} fail alone?")
        if not alike(outcome.failure, failure):
            return Finding(child, own_code=True, proof=Proof(ProofKind.IN_PLACE), failure=failure)
        assert outcome.failure is not None
        return (
            yield from self._bisect(
                child, outcome.failure, self._replaceable & self._tree.below(child)
            )
        )

    def _first_failing(self, children: Iterable[str], failure: Failure) -> Proving:
        """The model cannot be judged with all children replaced: ask each child alone."""
        for child in children:
            outcome = yield from self._ask(self._alone(child), f"does {child} fail alone?")
            if alike(outcome.failure, failure):
                assert outcome.failure is not None
                return (
                    yield from self._bisect(
                        child, outcome.failure, self._replaceable & self._tree.below(child)
                    )
                )
        return None

    def _whole_is_left(self, fqn: str, failure: Failure) -> Finding | None:
        if fqn == "" and self.findings.culprits:
            return None
        reason = "every child passes alone, but with all of them replaced it could not be exported for comparison"
        return Finding(fqn, own_code=True, proof=Proof(_kind(fqn), reason=reason), failure=failure)

    def _smallest_failing(
        self, fqn: str, children: list[str], failure: Failure, stubs: frozenset[str]
    ) -> Generator[Question, Outcome, list[str]]:
        """A smallest set of children that must be left in for the failure to show; the others are replaced."""

        def still_fails(kept: list[str]) -> Generator[Question, Outcome, bool]:
            replaced = [child for child in children if child not in kept]
            outcome = yield from self._ask(
                Trial(fqn, stubs=stubs | set(replaced)),
                _replaced(f"bisect {fqn or 'the model'}", replaced),
            )
            return alike(outcome.failure, failure)

        return (yield from smallest_failing(children, still_fails))

    # --- after the culprits are known

    def _look_below_the_root(self) -> Steps:
        """The root cannot be replaced, so what else fails below it shows only alone."""
        children = [child for child in self._children("") if child not in self.findings.names]
        yield from self._ask_alone(children[:CHILDREN_LIMIT])
        if len(children) > CHILDREN_LIMIT:
            self.findings.notes.append(
                f"Only the first {CHILDREN_LIMIT} of {len(children)} children were tried for failures of their own."
            )

    def _ask_alone(self, children: Iterable[str]) -> Steps:
        for child in children:
            outcome = yield from self._ask(
                self._alone(child),
                f"the whole model is to blame: does {child} also fail by itself?",
            )
            if outcome.failure is None or not outcome.failure.clues:
                continue
            found = yield from self._prove(outcome.failure.clues[0], outcome.failure)
            if found is not None and found.proof.kind is ProofKind.ALONE:
                self._add(found)

    def _prove_necessity(self) -> Steps:
        """With all culprits but one replaced the model must still fail; for the one found last that is known already."""
        culprits = self.findings.culprits
        if self.findings.sufficient is not True or len(culprits) > NECESSITY_LIMIT:
            return
        for position, finding in enumerate(culprits):
            if finding.fqn == "":
                continue
            others = self._replaceable - {finding.fqn}
            outcome = yield from self._ask(
                Trial("", stubs=others), f"is {finding.fqn} needed? Everything else is replaced"
            )
            necessary = None if outcome.undecided else outcome.failed
            culprits[position] = replace(finding, proof=replace(finding.proof, necessary=necessary))
        self._drop_contained()

    def _drop_contained(self) -> None:
        """A culprit inside another one that is enough by itself is none."""
        for finding in [
            finding for finding in self.findings.culprits if finding.proof.necessary is False
        ]:
            around = [
                fqn for fqn in self._tree.ancestors(finding.fqn) if fqn in self.findings.names
            ]
            if around:
                self.findings.culprits.remove(finding)
                self.findings.notes.append(
                    f"{finding.fqn} fails alone too, but replacing {around[0]}, which holds it, is enough."
                )

    # --- small things

    def _add(self, found: Finding) -> None:
        if found.fqn not in self.findings.names:
            self.findings.culprits.append(found)

    def _known(self, name: str) -> str:
        """The canonical name of the innermost called module that `name` stands for."""
        return self._tree.nearest_called(self._tree.canonical(name) or "")

    def _children(self, fqn: str) -> tuple[str, ...]:
        return tuple(
            child for child in self._tree.children(fqn) if child not in self._tree.ancestors(fqn)
        )


def _with_what_led_there(own: Clue, whole: Clue) -> Clue:
    """The clue of a module alone, with what only the whole model tells: why it is suspected, and the line that calls it."""
    found = (
        replace(own, source=whole.source, below=whole.below) if own.source in whole.below else own
    )
    return found if own.reason else replace(found, kind=whole.kind, reason=whole.reason)


def _goes_further(failure: Failure | None, than: Failure) -> bool:
    order = list(Stage)
    return failure is not None and order.index(failure.stage) > order.index(than.stage)


def _kind(fqn: str) -> ProofKind:
    return ProofKind.ROOT if fqn == "" else ProofKind.ALONE


def _replaced(what: str, names: Iterable[str]) -> str:
    listed = sorted(names)
    shown = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
    return f"{what}, with {shown} replaced" if listed else what
