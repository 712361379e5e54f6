"""Write the vectors of this folder: ``python -m tests.oidc.vectors.generate``. Each run writes the same files.

The cases follow the categories of Project Wycheproof (README.md); keys and signatures are our own. The expected result
follows from how a vector is constructed, not from any library.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.helpers.jose import number
from tests.oidc.vectors.arithmetic import RsaKey, roca_prime
from tests.oidc.vectors.ecdsa_cases import ecdsa_groups
from tests.oidc.vectors.groups import group
from tests.oidc.vectors.rsa_cases import pkcs1_cases, pss_cases

FOLDER = Path(__file__).parent
RSA = (("pkcs1", "RS", pkcs1_cases), ("pss", "PS", pss_cases))
DIGESTS = ("sha256", "sha384", "sha512")


def write(name: str, groups: list[dict[str, object]]) -> None:
    lines = ",\n".join(json.dumps(group, separators=(",", ":")) for group in groups)
    (FOLDER / f"{name}.json").write_text(f'{{"groups": [\n{lines}\n]}}\n')


def rsa_jwk(key: RsaKey) -> dict[str, str]:
    return {"kty": "RSA", "n": number(key.n), "e": number(key.e)}


def main() -> None:
    write("ecdsa", list(ecdsa_groups()))
    key = RsaKey.generate(random.Random("the RSA key"))
    for name, prefix, cases in RSA:
        write(f"rsa_{name}", [group(f"{prefix}{d[3:]}", "one key", rsa_jwk(key), cases(key, d)) for d in DIGESTS])
    roca = RsaKey.generate(random.Random("the ROCA key"), prime=roca_prime)
    correct = ((comment, sig, False) for comment, sig, is_valid in pkcs1_cases(roca, "sha256") if is_valid)
    write("rsa_roca", [group("RS256", "CVE-2017-15361: a correct signature by a weak key", rsa_jwk(roca), correct)])


if __name__ == "__main__":
    main()
