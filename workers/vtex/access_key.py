"""The access key of a Brazilian invoice (chave de acesso of NF-e and NFC-e): 44 digits, the last one a check digit.

Source: "Manual de Orientação do Contribuinte" of the NF-e, section on the access key: the first 43 digits are
weighted by 2 to 9 from the right, again and again; 11 less the remainder of their sum by 11 is the check digit, and
0 where the remainder is 0 or 1.
"""

from __future__ import annotations

import re

LENGTH = 44
#: What stands before the key in the XML's ``Id``.
_PREFIX = re.compile(r"nfe", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)


def read(text: str) -> str:
    """The key without blanks and without the prefix ``NFe``; ValueError says what is wrong with one of digits.

    What is not made of digits comes back as it is: other countries have other keys, a CF-e is called ``CFe…``, and
    the key of a company whose CNPJ has letters has them, too.
    """
    bare = "".join(text.split())
    if (prefix := _PREFIX.match(bare)) and _DIGITS.fullmatch(bare, prefix.end()):
        bare = bare[prefix.end() :]
    if not _DIGITS.fullmatch(bare):
        return text
    if len(bare) != LENGTH:
        raise ValueError(
            f"has {len(bare)} digits, and an NF-e's access key has {LENGTH}; copy it whole from the NF-e"
        )
    if bare[-1] != check_digit(bare[:-1]):
        raise ValueError(
            f"ends in {bare[-1]}, and by its check digit it would end in {check_digit(bare[:-1])}: a digit is wrong; "
            "copy it from the NF-e"
        )
    return bare


def check_digit(digits: str) -> str:
    """The check digit of a key's first 43 digits."""
    weighted = sum(int(digit) * (2 + place % 8) for place, digit in enumerate(reversed(digits)))
    return str((11 - weighted % 11) % 11 % 10)
