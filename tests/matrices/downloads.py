"""The permission matrix of downloads: taking whole objects away as one archive, which no viewer needs.

Signs, names and rules of writing are those of `tests.matrices.permissions`.
"""

from typing import Final

__all__ = ["TABLES"]

TABLES: Final = (
    # First the token: it reads and downloads, one that was made from another as far as that one does, a link unless it
    # is for viewing only, and a report token never. Then the series: one way by which it is read must let it go, which
    # an inbox does, an album to its administrators, and to plain members by its `downloadSeries`: album 2 does not.
    # To whoever may see a series and not take it away, there is nothing to download.
    """
download a series
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     +   +   +    .   .   .    |    F    F F F  F   | F    F     |    F F F  +  F   |    F F F  .  F
1-kept     | +     .   .   .    .   .   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  .  F
2-shared   | .     .   .   .    +   .   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  +  F
2-kept     | .     .   .   .    +   .   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  .  F
common     | +     +   +   +    +   .   .    |    F    F F F  F   | F    F     |    F F F  +  F   |    F F F  +  F
1-uploaded | +     +   +   +    .   .   .    |    F    F F F  F   | F    F     |    F F F  +  F   |    F F F  .  F
2-uploaded | .     .   .   .    +   .   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  +  F
orphan     | .     .   .   .    .   .   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  .  F
unused     | .     .   .   .    .   .   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  .  F
    """,
    """
download a series
           | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared   |    +   +     . . +     .     F    | F   |    F +  F +  F
1-kept     |    +   +     . . .     .     F    | F   |    F .  F .  F
2-shared   |    .   .     . . .     .     F    | F   |    F .  F .  F
2-kept     |    .   .     . . .     .     F    | F   |    F .  F .  F
common     |    .   .     + . .     +     F    | F   |    F +  F +  F
1-uploaded |    .   .     . . .     .     F    | F   |    F +  F .  F
2-uploaded |    .   .     . . .     .     F    | F   |    F .  F .  F
orphan     |    .   .     . . .     .     F    | F   |    F .  F .  F
unused     |    .   .     . . .     .     F    | F   |    F .  F .  F
    """,
    # Of a study goes what may go, and something must.
    """
download a study
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     +   +   +    .   .   .    |    F    F F F  F   | F    F     |    F F F  +  F   |    F F F  .  F
1-kept     | +     0   0   0    .   .   .    |    F    F F F  F   | F    F     |    F F F  0  F   |    F F F  .  F
2-kept     | .     .   .   .    +   .   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  0  F
common     | +     +   +   +    +   .   .    |    F    F F F  F   | F    F     |    F F F  +  F   |    F F F  +  F
unused     | .     .   .   .    .   .   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  .  F
    """,
    """
download a study
           | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared   |    +   +     . . +     .     F    | F   |    F +  F +  F
1-kept     |    +   +     . . 0     .     F    | F   |    F 0  F 0  F
2-kept     |    .   .     . . .     .     F    | F   |    F .  F .  F
common     |    .   .     + . .     +     F    | F   |    F +  F +  F
unused     |    .   .     . . .     .     F    | F   |    F .  F .  F
    """,
    # Where an album is named, the role in it is looked at before what it holds.
    """
download album 1
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     +   +   +    .   .   .    |    F    F F F  F   | F    F     |    F F F  +  F   |    F F F  .  F
1-kept     | 0     0   0   0    .   .   .    |    F    F F F  F   | F    F     |    F F F  0  F   |    F F F  .  F
common     | +     +   +   +    .   .   .    |    F    F F F  F   | F    F     |    F F F  +  F   |    F F F  .  F
    """,
    """
download album 1
           | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared   |    +   .     0 . +     0     F    | F   |    F +  F .  F
1-kept     |    0   .     0 . 0     0     F    | F   |    F 0  F .  F
common     |    0   .     + . 0     +     F    | F   |    F +  F .  F
    """,
    """
download album 2
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
2-shared   | .     .   .   .    +   F   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  +  F
2-kept     | .     .   .   .    0   F   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  0  F
common     | .     .   .   .    +   F   .    |    F    F F F  F   | F    F     |    F F F  .  F   |    F F F  +  F
    """,
    """
download album 2
           | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
2-shared   |    .   .     . F .     .     F    | F   |    F .  F .  F
2-kept     |    .   .     . F .     .     F    | F   |    F .  F .  F
common     |    .   .     . F .     .     F    | F   |    F .  F .  F
    """,
    # An inbox is its person's alone; one with nothing in it is nothing to download.
    """
download the inbox
           | alice ada mia dora bob max olga | u. none r w rw rwa | b.rw m.rwa | 1. r w ra rd rwa | 2. r w ra rd rwa
1-shared   | +     .   .   .    0   .   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
1-kept     | +     .   .   .    0   .   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
2-shared   | 0     .   .   .    +   .   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
common     | +     .   .   .    0   .   .    |    F    F F F  F   | F    F     |    F F F  F  F   |    F F F  F  F
    """,
    """
download the inbox
           | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared   |    +   +     F F .     F     F    | F   |    F F  F F  F
1-kept     |    +   +     F F .     F     F    | F   |    F F  F F  F
2-shared   |    0   0     F F .     F     F    | F   |    F F  F F  F
common     |    0   0     F F .     F     F    | F   |    F F  F F  F
    """,
)
