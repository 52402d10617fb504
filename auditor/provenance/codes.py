"""Every stable code of this package: what it means and what to do.

Codes are a contract: scripts and dashboards compare them, so they are added, never renamed.
`docs/reference/codes.md` shows this table to users; a test keeps the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Code(NamedTuple):
    """What a code means, and the next step for the person who reads it."""

    meaning: str
    remedy: str


_REWRITE = "Write the manifest again with `auditor manifest create` and sign it."
_RESEND = "Ask the supplier to send the batch again, or to sign a manifest of what was sent."
_KEYS = "Compare the keys in the configuration with those the supplier published."

CODES: Final[Mapping[str, Code]] = {
    # who vouches
    "NO_MANIFEST": Code(
        "No manifest came with the batch.",
        "Ask the supplier for a signed manifest. What becomes of a batch without one is set by "
        "`manifest.unsigned`: note, hold or reject.",
    ),
    "UNSIGNED": Code(
        "The manifest carries no signature, so nobody vouches for it.",
        "Sign it with `auditor manifest sign`.",
    ),
    "SIGNATURE_THRESHOLD": Code(
        "Too few of the source's keys signed exactly these bytes.",
        f"{_KEYS} Do not use the batch until they agree.",
    ),
    "KEY_REVOKED": Code(
        "The key that signed was revoked.",
        "Do not use the batch; ask the supplier for one that is signed with the new key.",
    ),
    "KEY_EXPIRED": Code(
        "The key that signed was no longer valid.", "Ask the supplier for its new key."
    ),
    "KEY_NOT_YET_VALID": Code(
        "The key that signed was not valid yet.",
        "Compare the clocks, and the dates of the key in the trust policy.",
    ),
    "SOURCE_UNKNOWN": Code(
        "No keys are configured for the source that the manifest names.",
        "Add the source and its keys to the configuration if you trust it.",
    ),
    "SOURCE_MISMATCH": Code(
        "The manifest speaks for another source or batch than the one expected.",
        "Put the batch where its own source belongs, or ask the supplier for the right manifest.",
    ),
    "KIND_MISMATCH": Code(
        "The manifest is of another kind of batch (training, validation, ...) than is audited.",
        "Ask the supplier for the batch, or the manifest, of the right kind.",
    ),
    # the envelope
    "DSSE_FORMAT": Code(
        "The file is not a DSSE envelope.",
        "Check that the right file was given; it is a JSON object with payload and signatures.",
    ),
    "DSSE_BASE64": Code("A field of the envelope is not base64.", "Sign the payload again."),
    "DSSE_PAYLOAD_TYPE": Code(
        "The envelope holds another type of payload than expected.",
        "Check that the right file was given.",
    ),
    "DSSE_TOO_MANY_SIGS": Code(
        "The envelope has more than 16 signatures.", "Keep only the signatures that are needed."
    ),
    # JSON
    "JSON_INVALID": Code("The text is not JSON in UTF-8 without a byte order mark.", _REWRITE),
    "JSON_DUPLICATE_KEY": Code("An object has the same key twice.", _REWRITE),
    "JSON_NON_FINITE": Code("A number is NaN, infinite or too large for a double.", _REWRITE),
    "JSON_INT_RANGE": Code("An integer is outside ±(2^53-1).", _REWRITE),
    "JSON_TOO_DEEP": Code("Objects and lists are nested more than 32 deep.", _REWRITE),
    "JSON_TOO_LARGE": Code("The document is larger than 16 MiB.", "Split the batch."),
    # the statement
    "PREDICATE_TYPE": Code(
        "The statement is of another kind than expected (for example an attestation).",
        "Check that the right file was given.",
    ),
    "SUBJECT_COUNT": Code("The statement must have exactly one subject, the batch.", _REWRITE),
    "SUBJECT_DIGEST": Code("The subject's digest is not that of the listed files.", _REWRITE),
    "DIGEST_ALGORITHM": Code("A digest is not 64 lowercase hex digits of sha256.", _REWRITE),
    "FIELD_MISSING": Code("A required field is not there.", _REWRITE),
    "FIELD_TYPE": Code("A field has the wrong JSON type.", _REWRITE),
    "FIELD_VALUE": Code("A field has a value that is not allowed.", _REWRITE),
    "FIELD_UNKNOWN": Code(
        "A field is not part of the format; fields of your own need a URI as their name.",
        "Correct the spelling, or use a URI.",
    ),
    "PATH_UNSAFE": Code(
        "A file name is not allowed: it could leave the folder, hide, collide or carry values.",
        "Rename the file; use letters, digits and `_ . + @ -`, and declare hive partitions.",
    ),
    "TIME_FORMAT": Code("A time is not exactly YYYY-MM-DDTHH:MM:SSZ.", _REWRITE),
    "TIME_ORDER": Code("The times contradict each other.", _REWRITE),
    "TIME_FUTURE": Code(
        "The manifest was created in the future.", "Compare the clocks of both machines."
    ),
    "EXPIRED": Code("The manifest is no longer valid.", "Ask the supplier for a fresh manifest."),
    # the batch against earlier ones of its source
    "REPLAY": Code(
        "The batch was decided before; the earlier verdict stands.",
        "Use what that run published. If new data was meant, ask the supplier for it.",
    ),
    "BATCH_EQUIVOCATION": Code(
        "The supplier signed two different batches under one id.",
        "Keep both manifests, they are in the run's folder, and ask the supplier which one counts "
        "and how the other came about.",
    ),
    "SEQUENCE_BACK": Code(
        "The batch's number is not above that of the last batch decided of its source.",
        "Ask the supplier whether this is old data, or whether two of its systems number batches.",
    ),
    "SEQUENCE_GAP": Code(
        "A batch before this one has not been decided here.",
        "Gate the missing batch first, then this one again. If it is lost for good, set the source "
        "to `sequence: monotonic` (trust policy), or `manifest.sequence`.",
    ),
    "CHAIN": Code(
        "The manifest does not name the last batch decided of its source as the one before.",
        "Ask the supplier which batches it sent; one of them did not arrive as it was sent.",
    ),
    "CLOCK_ROLLBACK": Code(
        "This machine's clock is behind the ledger, so nothing can be said to be in time.",
        "Set the clock, and find out who turned it back.",
    ),
    "URI_DIGEST_CHANGED": Code(
        "Something was collected from an address that gave other bytes before.",
        "Find out who controls the address now. If its content is meant to change, set the source "
        "to `mutable: true` (trust policy), or `manifest.mutable`.",
    ),
    # the files and rows against the manifest
    "FILES_EMPTY": Code("The manifest lists no files.", _REWRITE),
    "FILE_MISSING": Code("A declared file was not received.", _RESEND),
    "FILE_EXTRA": Code("A received file is not declared.", "Remove it, or have it declared."),
    "FILE_DIGEST": Code("A file's bytes are not those declared.", _RESEND),
    "FILE_SIZE": Code("A file's size is not the one declared.", _RESEND),
    "FILE_RENAMED": Code(
        "A declared file arrived under another name.", "Give it its declared name back."
    ),
    "FILE_SYMLINK": Code(
        "A file is a symbolic link, which can point elsewhere tomorrow.",
        "Replace the link by the file itself.",
    ),
    "BLOCKS": Code("The digests of a file's blocks do not fit its size.", _REWRITE),
    "ROWS": Code("A number of rows is not the one declared.", _RESEND),
    "NOT_COMPARED": Code(
        "Declared files could not be read, so their rows and contributors were not compared.",
        "See why under AUD-I001, and ask the supplier to send the batch again.",
    ),
    "SCHEMA": Code(
        "Columns, types, nullability or the roles of columns are not those declared.",
        "Compare the columns, and `roles` in the settings, with the last accepted batch; "
        "if the change is meant, have it declared in a new manifest.",
    ),
    "SUPPLIER": Code(
        "The supplier is none, or not one that the trust policy allows the source.",
        "Ask who supplied the batch; allow the supplier with `auditor trust update` if you agree.",
    ),
    "LICENCE": Code(
        "The licence is none, or not one that the trust policy allows the source.",
        "Do not train on the batch before its licence is settled.",
    ),
    "METHOD": Code(
        "The way the data was collected is not one that the trust policy allows the source.",
        "Ask the supplier how the batch came about.",
    ),
    "URI_PREFIX": Code(
        "The data was collected from an address that the trust policy does not allow the source.",
        "Ask the supplier why; an address of somebody else can change under you.",
    ),
    "ROW_PROVENANCE": Code(
        "The manifest, or the trust policy, says that each row names where it is from, and rows "
        "do not.",
        "Ask the supplier for these columns, complete, and for the contributor roll.",
    ),
    "ROW_SOURCE": Code(
        "Rows say that they are from another source than the manifest.",
        "Ask the supplier to send the rows of each source in a batch of their own.",
    ),
    "SOURCE_LIMIT": Code(
        "The batch is larger than the trust policy allows the source.",
        "Ask the supplier for smaller batches, or raise the limit with `auditor trust update`.",
    ),
    "MAX_AGE": Code(
        "The manifest is older than the trust policy allows the source.",
        "Ask the supplier for a fresh batch.",
    ),
    "ROLL_MISSING": Code(
        "The manifest declares a contributor roll that was not received.",
        "Put the roll beside the manifest.",
    ),
    "ROLL_DIGEST": Code("The contributor roll is not the one declared.", _RESEND),
    "ROLL_FORMAT": Code(
        "The contributor roll is not a JSON object of id and number of rows.", _REWRITE
    ),
    "CONTRIBUTOR_UNKNOWN": Code(
        "Rows come from a contributor who is not on the roll.",
        "Ask the supplier who this is; do not train on these rows until it is answered.",
    ),
    "CONTRIBUTOR_COUNT": Code("The rows per contributor are not those on the roll.", _RESEND),
    # our own keys
    "KEY_MISSING": Code(
        "The key file cannot be opened.", "Check the path, or run `auditor keys generate`."
    ),
    "KEY_EXISTS": Code(
        "A key of this name exists and is never overwritten.", "Choose another name."
    ),
    "KEY_FORMAT": Code(
        "The key is not one we can use.",
        "Use Ed25519 or ECDSA P-256: private keys in PEM (PKCS 8), public keys in PEM or hex.",
    ),
    "KEY_PASSPHRASE": Code(
        "The passphrase is missing, wrong, or given for a key that has none.",
        "Name the environment variable that holds the passphrase of this key.",
    ),
    "KEY_PERMISSIONS": Code(
        "Others than the owner may read or change the key file.", "Run `chmod 600` on it."
    ),
    "POLICY_WEAK_KEY": Code(
        "Anybody can forge signatures under this public key (a point of small order).",
        "Remove it and ask its owner for a real key.",
    ),
    # the trust policy
    "POLICY_MISSING": Code(
        "The trust policy is not where the settings say.",
        "Compare `trust.policy` with where the file is.",
    ),
    "POLICY_SIGNATURE": Code(
        "Too few root keys signed the trust policy: those of the version before and its own must.",
        "Find out who changed the file; a change is made with `auditor trust update` and `sign`.",
    ),
    "POLICY_PIN": Code(
        "The first trusted version of the policy is not the one whose digest is pinned.",
        "Compare `trust.sha256` with the digest that the owners of the root keys announced.",
    ),
    "POLICY_EXPIRED": Code(
        "The trust policy has expired.", "Make a new version with `auditor trust update`."
    ),
    "POLICY_ROLLBACK": Code(
        "The trust policy is older than one that was in force here.",
        "Put the newest version back, and find out who replaced it.",
    ),
    "POLICY_GAP": Code(
        "A version of the trust policy is missing on the way from the pinned one.",
        "Put every version beside the newest one; versions rise by exactly one.",
    ),
    "POLICY_EQUIVOCATION": Code(
        "There are two trust policies of the same version.",
        "Keep both as evidence and ask the owners of the root keys which one is theirs.",
    ),
    "POLICY_DIGEST": Code(
        "The settings are not those that the trust policy approves under their name.",
        "Go back to the approved settings, or have them approved with `auditor trust update`.",
    ),
    "GATE_ROLE": Code(
        "The trust policy does not let this gate sign: it has no key, or another key or verifier.",
        "Compare `signing.key`, or `signing.public`, and `signing.verifier` with `roles.gate` of "
        "the trust policy.",
    ),
    "POLICY_KEY_TYPE": Code(
        "A key of the trust policy is of an unknown type, or not of the type it says.",
        "Use ed25519 or ecdsa-p256.",
    ),
    "POLICY_KEY_TWICE": Code(
        "One public key stands in the trust policy under two ids or two principals.",
        "Keep one of them: a threshold counts people, and this would be one person counted twice.",
    ),
    "POLICY_KEYID": Code(
        "A key of the trust policy does not stand under its own id.",
        "The id is the sha256 of the raw public key; `auditor trust init` writes it.",
    ),
    "POLICY_KEY_UNKNOWN": Code(
        "The trust policy gives a role to a key, or a person, that it has no key of.",
        "Add the key under `keys`, or take the name out of the role.",
    ),
    "POLICY_THRESHOLD": Code(
        "A threshold of the trust policy can never be met: too few people hold keys for it.",
        "Add keys of more principals, or lower the threshold.",
    ),
    "POLICY_ROBOT": Code(
        "A releaser of the trust policy is also a service that signs by itself.",
        "Name people as releasers, with keys of their own.",
    ),
    # decisions about rows that were set aside
    "STATE_TRANSITION": Code(
        "Nothing leads from the state of these rows to what was asked for.",
        "`auditor quarantine list` shows the state; docs/how-to/release-and-recall.md the way.",
    ),
    "DECISION_PRINCIPAL": Code(
        "A decision was not signed by a releaser of the trust policy.",
        "Have it signed with the key of a person that `roles.releaser` names.",
    ),
    "DECISION_CONTRIBUTOR": Code(
        "Who sent the rows, or may speak for who did, cannot decide about them.",
        "Ask another releaser.",
    ),
    "DECISION_TWICE": Code(
        "The same person has already agreed to this release.", "Ask another releaser."
    ),
    "DECISION_SET": Code(
        "A decision is about another set of rows, another batch, request or ledger.",
        "Open the review again, and decide about these rows.",
    ),
    "DECISION_POLICY": Code(
        "The gate's policy was changed since the decision.",
        "Request the release again: what the rules say may be something else by now.",
    ),
    "DECISION_EXPIRED": Code(
        "A decision is older than 72 hours, or of the future.", "Request the release again."
    ),
    "DECISION_THRESHOLD": Code(
        "Too few people agreed to the release.",
        "Another releaser signs with `auditor quarantine approve`.",
    ),
    "DECISION_REASON": Code(
        "A decision needs a reason code of the list and a reason in words.",
        "Say in a sentence or two what was looked at.",
    ),
    "SUPPRESSION_RULE": Code(
        "A suppression is about a rule that cannot be suppressed, or that does not exist.",
        "Take it out: integrity, provenance and required rules have no exceptions.",
    ),
    "SUPPRESSION_TERM": Code(
        "A suppression lasts for longer than 90 days.",
        "Give it an earlier end; it can be made again, and signed again, before that.",
    ),
    "PARENT_RECALLED": Code(
        "A batch that was asked for, or that it was made from, was recalled.",
        "Leave it out.",
    ),
    "SIGNING_FAILED": Code(
        "The separate signing step ended without a signature.", "Read its message and try again."
    ),
}
