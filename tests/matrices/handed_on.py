"""The permission matrix of what people hand on for a short time: viewer tokens, report tokens, and visits by links.

Signs, names and rules of writing are those of `tests.matrices.permissions`.
"""

from typing import Final

__all__ = ["TABLES"]

TABLES: Final = (
    # Never more than whoever stands behind it reaches, now. A viewer token reads its one study by its source; a report
    # token its studies by the provider's album; a visit what the link shows: an album that its maker administers, or
    # those series of its selection that its maker may send. That a link opens no more ends no visit.
    """
read
           | v. all inbox 1 2 group token read | r.1 | l. 1d sd
1-shared   |    +   +     . . +     .     .    | +   |    +  +
1-kept     |    +   +     . . .     .     .    | .   |    .  .
2-shared   |    .   .     . . .     .     .    | .   |    .  .
2-kept     |    .   .     . . .     .     .    | .   |    .  .
common     |    .   .     + + .     +     +    | +   |    +  +
1-uploaded |    .   .     . . .     .     .    | .   |    +  .
2-uploaded |    .   .     . . .     .     .    | .   |    .  .
orphan     |    .   .     . . .     .     .    | .   |    .  .
unused     |    .   .     . . .     .     .    | .   |    .  .
    """,
    # A link for viewing only shows the same, but gives no whole study or series: the token says that, not the series.
    """
read by parts
           | l. 1 s used
1-shared   |    + + +
1-kept     |    . . .
2-shared   |    . . .
2-kept     |    . . .
common     |    + + +
1-uploaded |    + . .
2-uploaded |    . . .
orphan     |    . . .
unused     |    . . .
    """,
    """
retrieve study, retrieve series
           | l. 1 s used
1-shared   |    F F F
1-kept     |    F F F
1-uploaded |    F F F
2-shared   |    F F F
unused     |    F F F
    """,
    # An album that is named narrows, and is absent to whoever does not reach it: a token of another source, a link to
    # a selection.
    """
search in album 1
         | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared |    +   .     0 . +     0     0    | +   |    + +  . .  .
1-kept   |    0   .     0 . 0     0     0    | 0   |    0 0  . .  .
common   |    0   .     + . 0     +     +    | +   |    + +  . .  .
unused   |    0   .     0 . 0     0     0    | 0   |    0 0  . .  .
    """,
    """
search in album 2
         | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
2-shared |    .   .     . 0 .     .     .    | .   |    . .  . .  .
common   |    .   .     . + .     .     .    | .   |    . .  . .  .
    """,
    """
retrieve from album 1
         | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared |    +   .     . . +     .     .    | +   |    F +  F .  F
1-kept   |    .   .     . . .     .     .    | .   |    F .  F .  F
common   |    .   .     + . .     +     +    | +   |    F +  F .  F
    """,
    # An inbox is its person's: a token that is bound to an album, or to a link, has nothing to do with it.
    """
search in inbox
         | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared |    +   +     F F 0     F     F    | F   |    F F  F F  F
1-kept   |    +   +     F F 0     F     F    | F   |    F F  F F  F
common   |    0   0     F F 0     F     F    | F   |    F F  F F  F
    """,
    """
retrieve from inbox
         | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared |    +   +     F F .     F     F    | F   |    F F  F F  F
common   |    .   .     F F .     F     F    | F   |    F F  F F  F
    """,
    # They are for images: of an album that they reach they are told that, and nothing else.
    """
see, list members, list report providers, list webhooks
        | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
album 1 |    F   .     F . F     F     F    | F   |    F F  . .  .
album 2 |    .   .     . F .     .     .    | .   |    . .  . .  .
    """,
    """
leave
        | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
album 1 |    F   .     F . F     F     F    | F   |    F F  . .  .
    """,
    """
list albums, make a capability
        | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
album 1 |    F   F     F F F     F     F    | F   |    F F  F F  F
    """,
    """
see a capability, revoke a capability
    | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1.r |    F   F     F F F     F     F    | F   |    F F  F F  F
    """,
    # What writes stores into its source, for its studies alone, by the same rules as the person behind it.
    """
store a new study
          | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
own place |    N   F     N F F     F     F    | N   |    F F  F F  F
album 1   |    N   .     N . F     F     F    | N   |    F F  . .  .
    """,
    """
store a new series
        | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
study 1 |    +   F     N F F     F     F    | +   |    F F  F F  F
study 2 |    N   F     N F F     F     F    | N   |    F F  F F  F
study 3 |    N   F     + F F     F     F    | +   |    F F  F F  F
    """,
    """
store an instance
           | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared   |    +   F     N F F     F     F    | N   |    F F  F F  F
common     |    N   F     N F F     F     F    | N   |    F F  F F  F
1-uploaded |    N   F     N F F     F     F    | N   |    F F  F F  F
    """,
    # Nothing is passed on, taken or removed.
    """
put into album 1, remove from album 1
         | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared |    F   .     F . F     F     F    | F   |    F F  . .  .
unused   |    F   .     F . F     F     F    | F   |    F F  . .  .
    """,
    """
send to tom, take into the inbox, remove from the inbox
         | v. all inbox 1 2 group token read | r.1 | l. 1 1d s sd used
1-shared |    F   F     F F F     F     F    | F   |    F F  F F  F
unused   |    F   F     F F F     F     F    | F   |    F F  F F  F
    """,
)
