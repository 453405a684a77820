# SPDX-License-Identifier: Apache-2.0
"""What a word of plain English text is, to those corpora whose words vectors of words know."""

_ENDINGS = r"'(?:s|m|d|re|ve|ll)\b"
#: A word, as a regular expression.
WORD = (
    r"\d+(?:[.,:]\d+)+|\b(?:[a-z]\.){2,}|\.{3}"  # 5,000; j.p.; ...
    rf"|\w+?(?=n't\b)|n't\b|{_ENDINGS}|\w+(?:-\w+|(?!{_ENDINGS})'\w+)*|[^\w\s]"
)
