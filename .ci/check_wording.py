"""Find words that the project does not use, and say which to use instead. Run by ``nox -s lint``.

The code, its tests and its documents use the words of the RFCs and of Python's own documentation, so that a reader
whose first language is not English understands them at first reading.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

INSTEAD = {
    r"answer(s|ed|ing)?": "say response (noun) or respond (verb); `AnswerLostError` and `answer_lost` are names",
    r"persons?|people": "say user",
    r"(some|any|every)(body|one)|nobody|no one|who(m)?ever": "name the role: user, client, server, caller, process",
    r"told": "say what happens: is called with, is reported, is logged",
    r"affair": "say which module does it",
    r"lets?( \w+)? go|letting go": "say release, close or evict",
    r"(give|gives|given|giving) up": "say cancel, stop or fail",
    r"worth nothing|worthless": "say invalid, expired or revoked",
    r"in earnest": "say in production",
    r"(cannot|can|could|could not|to) be had": "say obtained",
    r"dies|died|dying|dead": "a token expires, a process is killed, a connection is closed",
    r"(dis)?believed?s?": "say valid, accepted or trusted",
    r"mend(s|ed|ing)?": "say fix",
    r"unasked": "say what has to happen first",
    r"vouch(es|ed)?": "say guarantee",
}
"""Pattern of whole words, and what to write in their place."""

FOREIGN = {
    ".ci/check_wording.py": "it lists the words",
    "LICENSE": "not our text",
    "tests/protocol/contract/oauth_v1.json": "not our text",
    "tests/interop/package-lock.json": "not our text",
}
"""Files that are never checked, and why."""

CHECKED = {".css", ".html", ".js", ".md", ".mjs", ".py", ".toml", ".yml", ""}


def main() -> int:
    """Print each occurrence with what to say instead; 1 where there is any."""
    words = re.compile("|".join(rf"(\b(?:{pattern})\b)" for pattern in _without_groups(INSTEAD)), re.IGNORECASE)
    reasons = list(INSTEAD.values())
    found = 0
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix not in CHECKED or name in FOREIGN or not path.is_file():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            # Names such as test_the_answer_is_read are made of words as well.
            for match in words.finditer(re.sub(r"(?<=[a-z])_(?=[a-z])", " ", _without_names(line))):
                found += 1
                index = next(i for i, group in enumerate(match.groups()) if group is not None)
                print(f"{name}:{number}: {match[0]!r}: {reasons[index]}")
    print(f"{found} words to replace" if found else "The wording is as agreed.")
    return 1 if found else 0


def _without_groups(patterns: dict[str, str]) -> list[str]:
    return [re.sub(r"\((?!\?)", "(?:", pattern) for pattern in patterns]


def _without_names(line: str) -> str:
    """The line without names that keep an old word: public ones, those of aiogram, and tests that are not checked.

    Names in backquotes before ``->`` are the old names in CHANGELOG.md.
    """
    line = re.sub(r"`[^`]*`(?=.* -> )", "", line)
    line = re.sub(r"\b(tokens|sign_in)/test_\w+\.py::\w+", "", line)
    return re.sub(r"\b(answer_lost|unanswered|message\.answer)\b", "", line)


if __name__ == "__main__":
    sys.exit(main())
