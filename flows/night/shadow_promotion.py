"""Promotion of shadows that live calls have proven, looked at every minute.

A proven one becomes a version of its own with its certificate, `candidate` at once and `champion`
where the policy may promote. While looser thresholds of its plan are left it is asked on, as the
next one that is proven costs nothing of δ: its champion then serves more.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
from filelock import FileLock

from flows import console
from flows.night import joint_plan, shadow_plan
from flows.night.champions import champion
from flows.night.folders import open_night, registry_of
from flows.night.joint_plan import Joint
from flows.night.registration import promote
from registry import bundle, card, gate, ledger
from registry.store import Store, Version
from tasks.calibrate import shadow_proof
from tasks.calibrate.joint_evidence import Name
from tasks.core import stage
from tasks.core.certificate import Certificate, load_certificate
from tasks.core.task import load_one


def prove(home: str | Path) -> dict[str, str]:
    """Look at all shadows: a sentence about each, by task; those that are proven are registered.

    One at a time, promotions included. Raises Refused where the registry cannot be reached.
    """
    home = Path(home).resolve()
    stage.private(home)
    store, told = registry_of(home), dict[str, str]()
    with FileLock(home / ".promote.lock"):
        store.reach()
        together = _together(home, store)
        for version in store.shadows():
            try:
                joint = together.get((version.name, version.number))
                told[version.name] = _looked_at(home, store, version, joint)
            except Exception as error:  # whatever is wrong with one concerns no other
                told[version.name] = f"it cannot be looked at ({type(error).__name__}: {error})"
    stage.write_atomic(home / "shadows.json", msgspec.json.encode(told))
    return told


def _together(home: Path, store: Store) -> dict[Name, Joint]:
    """Return what is proven of several tasks together; where it fails each is proven alone."""
    try:
        return {joint.member.name: joint for joint in joint_plan.proven(home, store)}
    except Exception as error:
        console.say(f"what shadows prove together cannot be looked at: {error}")
        return {}


def _looked_at(home: Path, store: Store, version: Version, joint: Joint | None) -> str:
    if store.champion(version.name) == version.number:
        store.set_shadow(version.name, None)
        return f"v{version.number} was promoted"
    folder = store.fetch(version, home / "adapters" / version.bundle)
    again, proven = shadow_plan.anew(home, version), load_certificate(folder / "certificate.json")
    if again is None and isinstance(proven, Certificate):
        sentence = card.waiting(shadow_plan.seen_of(home, version, proven))
        store.note(version, sentence)
        return sentence
    to_prove = again or shadow_plan.plan_of(folder)
    evidence = shadow_plan.standing(home, version, to_prove)
    proof = shadow_proof.certificate(to_prove, evidence)
    if joint and store.champion(version.name) is None:  # nobody was promoted in the meantime
        proof = proof or joint.certificate
    last = min(to_prove.thresholds) if evidence.alone else to_prove.thresholds[0]
    made = [v for v in store.versions(version.name) if v.number > version.number]
    made = [v for v in made if v.adapter_digest == version.adapter_digest and v.certificate]
    served = {e.after for e in ledger.entries(home) if e.task == version.name and e.moved}
    served.add(store.champion(version.name))  # who was killed may not have written it down yet
    made = [v for v in made if v.number in served]
    known = {v.number for v in store.versions(version.name)}
    deleted = any(number not in known for number in served if number and number > version.number)
    if deleted or (made and store.champion(version.name) != made[-1].number):  # or revoked
        store.set_shadow(version.name, None)
        return "what it became does not serve"
    if made and _threshold(home, store, made[-1]) <= last:
        store.set_shadow(version.name, None)  # who promoted it was killed before this
        return f"v{made[-1].number} was promoted"
    if proof and not (made and proof.threshold >= _threshold(home, store, made[-1])):
        return _certified(home, version, folder, proof, last)
    sentence = card.shadow(evidence, to_prove.risk)
    sentence += f" {card.joint(joint.standing)}" if joint else ""
    store.note(version, sentence)
    return sentence


def _threshold(home: Path, store: Store, version: Version) -> float:
    """Return from which confidence on a certified version answers."""
    folder = store.fetch(version, home / "adapters" / version.bundle)
    certificate = load_certificate(folder / "certificate.json")
    return certificate.threshold if isinstance(certificate, Certificate) else math.inf


def _certified(home: Path, version: Version, folder: Path, proof: Certificate, last: float) -> str:
    """Register a shadow with its certificate, and promote it where the policy may.

    It stays in shadow while thresholds are left to prove, down to the `last`.
    """
    lineage = msgspec.convert(bundle.read(folder, "lineage"), bundle.Lineage)
    night = open_night(home, lineage.night)
    serving, scorecard = champion(night, version.name), bundle.scorecard(folder)
    verdict = gate.judge(
        scorecard,
        proof,
        bundle.scorecard(serving.rival) if serving and serving.rival else None,
        night.params.judge,
        serving=serving.certificate if serving else None,
    )
    if not verdict.passed:
        night.store.set_shadow(version.name, None)
        return verdict.reason
    packed = bundle.proven(folder, home / "proven" / version.bundle, proof)
    registered = night.store.register(load_one(packed), packed, scorecard, proof, verdict, lineage)
    reason = f"{verdict.reason} {card.proven(proof)}"
    promoted, told = promote(night, registered, reason, serving)
    if not promoted or proof.threshold <= last:
        night.store.set_shadow(version.name, None)
    return f"v{registered.number}: {told}"
