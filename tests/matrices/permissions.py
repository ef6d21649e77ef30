"""The permission matrix: who may do what to what, and what comes of it.

Written from the rules in words (KHEOPS's permissions and this system's design), never from the code. A row that
disagrees with the code is a question to both. Each table has its rule above it; a table without one goes on with the
rule of the table before. Signs are those of `tests.matrices.notation.Outcome`, names those of `tests.matrices.world`.
"""

from dataclasses import replace
from typing import Final

from tests.matrices import downloads, handed_on
from tests.matrices.notation import Action, Row, read_table

__all__ = ["rows"]

_TABLES: Final = (
    # A person reads a series that lies in their inbox or in any album that they are in (kheops.md 4.1). A token of
    # user scope reads what its maker reads, if it may read at all; one of album scope reads its album. Whoever may
    # not read learns it from the token alone.
    """
read
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    + F +  +  +   |    . F .  .  .
1-kept     | +     .   .   .    .   .   .    |    F    + F +  +   | .    .     |    . F .  .  .   |    . F .  .  .
2-shared   | .     .   .   .    +   +   .    |    F    . F .  .   | +    .     |    . F .  .  .   |    + F +  +  +
2-kept     | .     .   .   .    +   .   .    |    F    . F .  .   | +    .     |    . F .  .  .   |    . F .  .  .
common     | +     +   +   +    +   +   .    |    F    + F +  +   | +    +     |    + F +  +  +   |    + F +  +  +
1-uploaded | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    + F +  +  +   |    . F .  .  .
2-uploaded | .     .   .   .    +   +   .    |    F    . F .  .   | +    .     |    . F .  .  .   |    + F +  +  +
orphan     | .     .   .   .    .   .   .    |    F    . F .  .   | .    .     |    . F .  .  .   |    . F .  .  .
unused     | .     .   .   .    .   .   .    |    F    . F .  .   | .    .     |    . F .  .  .   |    . F .  .  .
    """,
    # An album that is named narrows, and never widens. To whoever is not in it, it is absent; that is found before
    # the token's permissions are looked at.
    """
search in album 1
         | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    + F +  +  +   |    . . .  .  .
1-kept   | 0     0   0   0    .   .   .    |    F    0 F 0  0   | .    0     |    0 F 0  0  0   |    . . .  .  .
2-shared | 0     0   0   0    .   .   .    |    F    0 F 0  0   | .    0     |    0 F 0  0  0   |    . . .  .  .
common   | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    + F +  +  +   |    . . .  .  .
unused   | 0     0   0   0    .   .   .    |    F    0 F 0  0   | .    0     |    0 F 0  0  0   |    . . .  .  .
    """,
    """
search in album 2
         | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared | .     .   .   .    0   0   .    |    .    . . .  .   | 0    .     |    . . .  .  .   |    0 F 0  0  0
2-shared | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    + F +  +  +
2-kept   | .     .   .   .    0   0   .    |    .    . . .  .   | 0    .     |    . . .  .  .   |    0 F 0  0  0
common   | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    + F +  +  +
unused   | .     .   .   .    0   0   .    |    .    . . .  .   | 0    .     |    . . .  .  .   |    0 F 0  0  0
    """,
    """
retrieve from album 1
         | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    + F +  +  +   |    . . .  .  .
1-kept   | .     .   .   .    .   .   .    |    F    . F .  .   | .    .     |    . F .  .  .   |    . . .  .  .
common   | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    + F +  +  +   |    . . .  .  .
    """,
    """
retrieve from album 2
         | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
2-shared | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    + F +  +  +
2-kept   | .     .   .   .    .   .   .    |    .    . . .  .   | .    .     |    . . .  .  .   |    . F .  .  .
common   | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    + F +  +  +
    """,
    # An inbox is its person's alone, and never in reach of a token of album scope.
    """
search in inbox
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     0   0   0    0   0   0    |    F    + F +  +   | 0    0     |    F F F  F  F   |    F F F  F  F
1-kept     | +     0   0   0    0   0   0    |    F    + F +  +   | 0    0     |    F F F  F  F   |    F F F  F  F
2-shared   | 0     0   0   0    +   0   0    |    F    0 F 0  0   | +    0     |    F F F  F  F   |    F F F  F  F
2-kept     | 0     0   0   0    +   0   0    |    F    0 F 0  0   | +    0     |    F F F  F  F   |    F F F  F  F
common     | +     0   0   0    0   0   0    |    F    + F +  +   | 0    0     |    F F F  F  F   |    F F F  F  F
1-uploaded | 0     0   0   0    0   0   0    |    F    0 F 0  0   | 0    0     |    F F F  F  F   |    F F F  F  F
orphan     | 0     0   0   0    0   0   0    |    F    0 F 0  0   | 0    0     |    F F F  F  F   |    F F F  F  F
    """,
    """
retrieve from inbox
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     .   .   .    .   .   .    |    F    + F +  +   | .    .     |    F F F  F  F   |    F F F  F  F
2-shared   | .     .   .   .    +   .   .    |    F    . F .  .   | +    .     |    F F F  F  F   |    F F F  F  F
1-uploaded | .     .   .   .    .   .   .    |    F    . F .  .   | .    .     |    F F F  F  F   |    F F F  F  F
    """,
    # Any token that has access to the album sees it (kheops.md 2.2); a token of user scope must read.
    """
see
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
album 1 | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    + + +  +  +   |    . . .  .  .
album 2 | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    + + +  +  +
    """,
    # Listing albums is acting as the person, which no token of album scope does.
    """
list albums
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
album 1 | +     +   +   +    0   0   0    |    F    + F +  +   | 0    +     |    F F F  F  F   |    F F F  F  F
album 2 | 0     0   0   0    +   +   0    |    F    0 F 0  0   | +    0     |    F F F  F  F   |    F F F  F  F
    """,
    # Every member lists the members; tokens of album scope do not (kheops.md 4.2).
    """
list members
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
album 1 | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    F F F  F  F   |    . . .  .  .
album 2 | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F F F  F  F
    """,
    # Every member sees who may be asked for reports (kheops.md 4.2, GET_DICOM_SR); tokens of album scope do not.
    """
list report providers
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
album 1 | +     +   +   +    .   .   .    |    F    + F +  +   | .    +     |    F F F  F  F   |    . . .  .  .
album 2 | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F F F  F  F
    """,
    # Webhooks are for administrators of the album (kheops.md 2.18), and as people only.
    """
list webhooks
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
album 1 | +     +   F   F    .   .   .    |    F    F F F  F   | .    F     |    F F F  F  F   |    . . .  .  .
album 2 | .     .   .   .    +   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F F  F  F
    """,
    # Whoever is in an album leaves it, as a person: no token decides where its person is.
    """
leave
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
album 1 | +     +   +   +    .   .   .    |    F    F F F  F   | .    F     |    F F F  F  F   |    . . .  .  .
    """,
    # Who is there by a group alone has no membership to leave.
    """
leave
        | gina gil gwen
album 1 | F    .   .
    """,
    # Only people make tokens, no token does (2.6); for an album its administrators alone.
    """
make a capability
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
album 1    | +     +   F   F    .   .   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
album 2    | .     .   .   .    +   F   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
user scope | +     +   +   +    +   +   +    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
    """,
    # Its owner sees a token, and so do administrators of its album; that is acting as a person, by a token that
    # reads.
    """
see a capability
    | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1.r | +     +   .   .    .   .   .    |    F    + F +  +   | .    .     |    F F F  F  F   |    F F F  F  F
2.r | .     .   .   .    +   .   .    |    F    . F .  .   | +    .     |    F F F  F  F   |    F F F  F  F
u.r | +     .   .   .    .   .   .    |    F    + F +  +   | .    .     |    F F F  F  F   |    F F F  F  F
    """,
    # They revoke it too, and only as people.
    """
revoke a capability
    | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1.r | +     +   .   .    .   .   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
2.r | .     .   .   .    +   .   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
u.r | +     .   .   .    .   .   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
    """,
    # Everybody stores into the own inbox, a token that may write into its person's, or its album. Into an album go
    # administrators, and members where the album lets them add series.
    """
store a new study
          | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
own place | +     +   +   +    +   +   +    |    F    F + +  +   | +    +     |    F + F  F  +   |    F + F  F  +
album 1   | +     +   +   +    .   .   .    |    F    F + +  +   | .    +     |    F + F  F  +   |    . . .  .  .
album 2   | .     .   .   .    +   F   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F + F  F  +
    """,
    # Only the origin of a series adds to it: the person, or who may add series to the album (design 5.3). Holding
    # it, reading it and passing it on give no right to add. A place that has it not gets the whole series by one
    # instance, which takes the right to send it on: a token of user scope needs `appropriate` for that.
    """
store an instance
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     N   N   N    N   N   N    |    F    F + +  +   | N    N     |    F N F  F  N   |    F N F  F  N
1-kept     | +     N   N   N    N   N   N    |    F    F + +  +   | N    N     |    F N F  F  N   |    F N F  F  N
2-shared   | N     N   N   N    +   N   N    |    F    F N N  N   | +    N     |    F N F  F  N   |    F N F  F  N
2-kept     | N     N   N   N    +   N   N    |    F    F N N  N   | +    N     |    F N F  F  N   |    F N F  F  N
common     | +     N   N   N    N   N   N    |    F    F + +  +   | N    N     |    F N F  F  N   |    F N F  F  N
1-uploaded | +     +   +   +    N   N   N    |    F    F N N  +   | N    +     |    F + F  F  +   |    F N F  F  N
2-uploaded | N     N   N   N    +   N   N    |    F    F N N  N   | N    N     |    F N F  F  N   |    F + F  F  +
orphan     | +     N   N   N    N   N   N    |    F    F + +  +   | N    N     |    F N F  F  N   |    F N F  F  N
    """,
    # The target decides who may come at all; who may add to the series is decided as before.
    """
store an instance via album 1
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     N   N   N    .   .   .    |    F    F + +  +   | .    N     |    F N F  F  N   |    . . .  .  .
2-shared   | N     N   N   N    .   .   .    |    F    F N N  N   | .    N     |    F N F  F  N   |    . . .  .  .
1-uploaded | +     +   +   +    .   .   .    |    F    F + +  +   | .    +     |    F + F  F  +   |    . . .  .  .
2-uploaded | N     N   N   N    .   .   .    |    F    F N N  N   | .    N     |    F N F  F  N   |    . . .  .  .
    """,
    """
store an instance via album 2
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | .     .   .   .    N   F   .    |    .    . . .  .   | N    .     |    . . .  .  .   |    F N F  F  N
2-shared   | .     .   .   .    +   F   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F N F  F  N
1-uploaded | .     .   .   .    N   F   .    |    .    . . .  .   | N    .     |    . . .  .  .   |    F N F  F  N
2-uploaded | .     .   .   .    +   F   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F + F  F  +
    """,
    # A study on record is open to who reads a series of it, and to the origin of one: the person whose inbox, or the
    # album, the upload goes to (design 5.3, decision 3).
    """
store a new series
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
study 1 | +     +   +   +    N   N   N    |    F    F + +  +   | N    +     |    F N F  F  +   |    F N F  F  N
study 2 | N     N   N   N    +   +   N    |    F    F N N  N   | +    N     |    F N F  F  N   |    F N F  F  +
study 3 | +     +   +   +    +   +   N    |    F    F + +  +   | +    +     |    F N F  F  +   |    F N F  F  +
study 4 | +     +   +   +    N   N   N    |    F    F N +  +   | N    +     |    F + F  F  +   |    F N F  F  N
study 5 | N     N   N   N    +   +   N    |    F    F N N  N   | +    N     |    F N F  F  N   |    F + F  F  +
study 6 | +     N   N   N    N   N   N    |    F    F + +  +   | N    N     |    F N F  F  N   |    F N F  F  N
    """,
    """
store a new series via album 1
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
study 1 | +     +   +   +    .   .   .    |    F    F N +  +   | .    +     |    F N F  F  +   |    . . .  .  .
study 2 | N     N   N   N    .   .   .    |    F    F N N  N   | .    N     |    F N F  F  N   |    . . .  .  .
study 4 | +     +   +   +    .   .   .    |    F    F + +  +   | .    +     |    F + F  F  +   |    . . .  .  .
    """,
    """
store a new series via album 2
        | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
study 1 | .     .   .   .    N   F   .    |    .    . . .  .   | N    .     |    . . .  .  .   |    F N F  F  N
study 2 | .     .   .   .    +   F   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F N F  F  +
study 5 | .     .   .   .    +   F   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F + F  F  +
    """,
    # First the album: who may add series to it. Then the token: passing on takes read and appropriate. Then the
    # series: it lies in the caller's inbox, or in an album that they administer, or that lets its members send. An
    # orphan comes back by its origin. Who stands in an album that does not let them add is told so, whatever the
    # series.
    """
put into album 1
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     +   +   +    .   .   .    |    F    F F F  +   | .    +     |    F F F  F  +   |    . . .  .  .
1-kept     | +     .   .   .    .   .   .    |    F    F F F  +   | .    .     |    F F F  F  .   |    . . .  .  .
2-shared   | .     .   .   .    .   .   .    |    F    F F F  .   | .    .     |    F F F  F  .   |    . . .  .  .
common     | +     +   +   +    .   .   .    |    F    F F F  +   | .    +     |    F F F  F  +   |    . . .  .  .
1-uploaded | +     +   +   +    .   .   .    |    F    F F F  +   | .    +     |    F F F  F  +   |    . . .  .  .
orphan     | +     .   .   .    .   .   .    |    F    F F F  +   | .    .     |    F F F  F  .   |    . . .  .  .
unused     | .     .   .   .    .   .   .    |    F    F F F  .   | .    .     |    F F F  F  .   |    . . .  .  .
    """,
    """
put into album 2
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | .     .   .   .    .   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F F  F  .
2-shared   | .     .   .   .    +   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F F  F  +
2-kept     | .     .   .   .    +   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F F  F  .
common     | .     .   .   .    +   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F F  F  +
2-uploaded | .     .   .   .    +   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F F  F  +
orphan     | .     .   .   .    .   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F F  F  .
unused     | .     .   .   .    .   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F F  F  .
    """,
    # The same without an album to add to. Nobody sends an orphan; max may not send what he has from album 2 alone.
    """
send to tom
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     +   +   +    .   .   .    |    F    F F F  +   | F    +     |    F F +  F  +   |    F F .  F  .
1-kept     | +     .   .   .    .   .   .    |    F    F F F  +   | F    .     |    F F .  F  .   |    F F .  F  .
2-shared   | .     .   .   .    +   .   .    |    F    F F F  .   | F    .     |    F F .  F  .   |    F F +  F  +
2-kept     | .     .   .   .    +   .   .    |    F    F F F  .   | F    .     |    F F .  F  .   |    F F .  F  .
common     | +     +   +   +    +   .   .    |    F    F F F  +   | F    +     |    F F +  F  +   |    F F +  F  +
1-uploaded | +     +   +   +    .   .   .    |    F    F F F  +   | F    +     |    F F +  F  +   |    F F .  F  .
2-uploaded | .     .   .   .    +   .   .    |    F    F F F  .   | F    .     |    F F .  F  .   |    F F +  F  +
orphan     | .     .   .   .    .   .   .    |    F    F F F  .   | F    .     |    F F .  F  .   |    F F .  F  .
unused     | .     .   .   .    .   .   .    |    F    F F F  .   | F    .     |    F F .  F  .   |    F F .  F  .
    """,
    # Where the source is named, its album's sending permission is decided before the series is looked for.
    """
send from album 1 to tom
         | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared | +     +   +   +    .   .   .    |    F    F F F  +   | .    +     |    F F +  F  +   |    . . .  .  .
1-kept   | .     .   .   .    .   .   .    |    F    F F F  .   | .    .     |    F F .  F  .   |    . . .  .  .
common   | +     +   +   +    .   .   .    |    F    F F F  +   | .    +     |    F F +  F  +   |    . . .  .  .
    """,
    """
send from album 2 to tom
         | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
2-shared | .     .   .   .    +   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F +  F  +
2-kept   | .     .   .   .    .   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F .  F  .
common   | .     .   .   .    +   F   .    |    .    . . .  .   | F    .     |    . . .  .  .   |    F F +  F  +
    """,
    # Taking is passing on to oneself, and needs a token that writes. Knowing a UID takes nothing; an orphan comes
    # back to the person who uploaded it.
    """
take into the inbox
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     +   +   +    .   .   .    |    F    F F F  +   | F    +     |    F F F  F  +   |    F F F  F  .
1-kept     | +     .   .   .    .   .   .    |    F    F F F  +   | F    .     |    F F F  F  .   |    F F F  F  .
2-shared   | .     .   .   .    +   .   .    |    F    F F F  .   | F    .     |    F F F  F  .   |    F F F  F  +
2-kept     | .     .   .   .    +   .   .    |    F    F F F  .   | F    .     |    F F F  F  .   |    F F F  F  .
common     | +     +   +   +    +   .   .    |    F    F F F  +   | F    +     |    F F F  F  +   |    F F F  F  +
1-uploaded | +     +   +   +    .   .   .    |    F    F F F  +   | F    +     |    F F F  F  +   |    F F F  F  .
2-uploaded | .     .   .   .    +   .   .    |    F    F F F  .   | F    .     |    F F F  F  .   |    F F F  F  +
orphan     | +     .   .   .    .   .   .    |    F    F F F  +   | F    .     |    F F F  F  .   |    F F F  F  .
unused     | .     .   .   .    .   .   .    |    F    F F F  .   | F    .     |    F F F  F  .   |    F F F  F  .
    """,
    # What lies in the own inbox, by a token that reads and writes. Seeing a series elsewhere does not put it there.
    """
remove from the inbox
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     .   .   .    .   .   .    |    F    F F +  +   | .    .     |    F F F  F  +   |    F F F  F  .
1-kept     | +     .   .   .    .   .   .    |    F    F F +  +   | .    .     |    F F F  F  .   |    F F F  F  .
2-shared   | .     .   .   .    +   .   .    |    F    F F .  .   | +    .     |    F F F  F  .   |    F F F  F  +
2-kept     | .     .   .   .    +   .   .    |    F    F F .  .   | +    .     |    F F F  F  .   |    F F F  F  .
common     | +     .   .   .    .   .   .    |    F    F F +  +   | .    .     |    F F F  F  +   |    F F F  F  +
1-uploaded | .     .   .   .    .   .   .    |    F    F F .  .   | .    .     |    F F F  F  +   |    F F F  F  .
2-uploaded | .     .   .   .    .   .   .    |    F    F F .  .   | .    .     |    F F F  F  .   |    F F F  F  +
orphan     | .     .   .   .    .   .   .    |    F    F F .  .   | .    .     |    F F F  F  .   |    F F F  F  .
unused     | .     .   .   .    .   .   .    |    F    F F .  .   | .    .     |    F F F  F  .   |    F F F  F  .
    """,
    # Administrators, and members where the album lets them delete; tokens need read and write (kheops.md 4.2).
    """
remove from album 1
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     +   F   F    .   .   .    |    F    F F +  +   | .    F     |    F F F  F  +   |    . . .  .  .
1-kept     | .     .   F   F    .   .   .    |    F    F F .  .   | .    F     |    F F F  F  .   |    . . .  .  .
2-shared   | .     .   F   F    .   .   .    |    F    F F .  .   | .    F     |    F F F  F  .   |    . . .  .  .
common     | +     +   F   F    .   .   .    |    F    F F +  +   | .    F     |    F F F  F  +   |    . . .  .  .
1-uploaded | +     +   F   F    .   .   .    |    F    F F +  +   | .    F     |    F F F  F  +   |    . . .  .  .
unused     | .     .   F   F    .   .   .    |    F    F F .  .   | .    F     |    F F F  F  .   |    . . .  .  .
    """,
    """
remove from album 2
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | .     .   .   .    .   .   .    |    .    . . .  .   | .    .     |    . . .  .  .   |    F F F  F  .
2-shared   | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F F F  F  +
2-kept     | .     .   .   .    .   .   .    |    .    . . .  .   | .    .     |    . . .  .  .   |    F F F  F  .
common     | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F F F  F  +
2-uploaded | .     .   .   .    +   +   .    |    .    . . .  .   | +    .     |    . . .  .  .   |    F F F  F  +
unused     | .     .   .   .    .   .   .    |    .    . . .  .   | .    .     |    . . .  .  .   |    F F F  F  .
    """,
    # Who cannot be told is refused before anything is looked at, for everything alike: no token, a forged or outdated
    # one, one that ended, was revoked, has not begun, whose maker was demoted or is suspended; and a suspended person.
    """
read
         | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
1-shared | U      U      U        U   U     U         U         U       U         U         U
common   | U      U      U        U   U     U         U         U       U         U         U
unused   | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
search in album 1, search in inbox, retrieve from album 1, retrieve from inbox
         | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
1-shared | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
leave
        | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
album 1 | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
see, list albums, list members, list report providers, list webhooks
        | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
album 1 | U      U      U        U   U     U         U         U       U         U         U
album 2 | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
make a capability
           | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
album 1    | U      U      U        U   U     U         U         U       U         U         U
user scope | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
see a capability, revoke a capability
    | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
1.r | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
store a new study
          | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
own place | U      U      U        U   U     U         U         U       U         U         U
album 1   | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
store an instance, store an instance via album 1
         | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
1-shared | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
store a new series, store a new series via album 1
        | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
study 1 | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
download a study, download a series, download album 1, download the inbox
         | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
1-shared | U      U      U        U   U     U         U         U       U         U         U
    """,
    """
put into album 1, send to tom, send from album 1 to tom, take into the inbox, remove from the inbox,
remove from album 1
         | nobody forged outdated sam s.rwa 1.expired 1.revoked 1.early 1.demoted u.expired u.revoked
1-shared | U      U      U        U   U     U         U         U       U         U         U
unused   | U      U      U        U   U     U         U         U       U         U         U
    """,
)


_LIKE: Final = {"mia": "gina", "max": "gil", "olga": "gwen"}
"""By a group one is what a plain member is (design 5.5), and without presenting it what an outsider is."""
_ENDED: Final = ("v.expired", "v.sam", "r.expired", "r.sam", "l.expired", "l.revoked", "l.sam")
"""What was handed on is nobody's any more once it has ended, or whoever stands behind it is suspended."""


def rows() -> list[Row]:
    """Return the matrix."""
    tables = (*_TABLES, *handed_on.TABLES, *downloads.TABLES)
    written = [row for table in tables for row in read_table(table)]
    ended = [replace(row, principal=each) for row in written if row.principal == "u.revoked" for each in _ENDED]
    return [
        *written,
        *ended,
        *(
            replace(row, principal=_LIKE[row.principal])
            for row in written
            if row.principal in _LIKE and row.action is not Action.LEAVE
        ),
    ]
