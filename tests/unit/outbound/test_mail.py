"""What a mail may be."""

import pytest

from kheops.domain.mail import MAIL_SUBJECT_LENGTH, Mail
from kheops.errors import BadRequestError


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "bob",
        "@example.org",
        "bob@",
        "bob@example.org\r\nBcc: eve@example.org",
        "bob@example.org\nBcc: eve@example.org",
        "bob@example.org\r",
        "bob@example.org, eve@example.org",
        "bob@example.org eve@example.org",
        "Bob <bob@example.org>",
        "bob@example.org;eve@example.org",
        '"bob eve"@example.org',
        "bob@example.org\x00",
        "böb@example.org",
        "bob@-example.org",
        f"{'b' * 250}@example.org",
    ],
)
def test_a_recipient_is_one_mailbox(recipient: str) -> None:
    with pytest.raises(BadRequestError):
        Mail(recipient, "Subject", "Text")


@pytest.mark.parametrize("recipient", ["bob@example.org", "b.o+b@sub.example.org", "bob@localhost"])
def test_a_usual_address_is_taken(recipient: str) -> None:
    assert Mail(recipient, "Subject", "Text").recipient == recipient


@pytest.mark.parametrize(
    "subject",
    ["", "  ", "News\r\nBcc: eve@example.org", "News\nX: y", "News\rX: y", "News\x00", "News\u2028X: y", "News\x85X",
     "x" * (MAIL_SUBJECT_LENGTH + 1), "\ud800"],
)  # fmt: skip
def test_a_subject_is_one_line(subject: str) -> None:
    with pytest.raises(BadRequestError):
        Mail("bob@example.org", subject, "Text")


@pytest.mark.parametrize("text", ["", " \n", "a\x00b", "a\x1bb", "a\rb", "x" * 70_000, "\udfff"])
def test_a_text_is_plain(text: str) -> None:
    with pytest.raises(BadRequestError):
        Mail("bob@example.org", "Subject", text)


def test_a_text_has_lines_and_every_script() -> None:
    assert Mail("bob@example.org", "Neues für 山田", "Eins\n\tzwei\n").text == "Eins\n\tzwei\n"
