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
        "Sign with Ed25519 (PEM, PKCS 8); verify with Ed25519 or ECDSA P-256 (PEM or hex).",
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
    "SIGNING_FAILED": Code(
        "The separate signing step ended without a signature.", "Read its message and try again."
    ),
}
