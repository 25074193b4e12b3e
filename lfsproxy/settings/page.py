"""The reference page of the settings, in Markdown, made from their table.

``make docs-reference`` writes it anew, by ``python -m lfsproxy.settings > docs/reference/settings.md``.
A test says when that is due.
"""

from __future__ import annotations

from lfsproxy.settings.names import flag, variable
from lfsproxy.settings.table import setting_table

INTRODUCTION = """\
<!-- Made by `make docs-reference` from the table of settings: change that, not this page. -->

# Settings

Each setting is an environment variable and a flag of `twistd -n lfsproxy`; the flag wins, and an empty
variable counts as not given. An address is `host:port`, `[v6]:port`, or `:port`, which listens on every IPv4
and IPv6 address of the machine.

A size without a unit is in bytes. `k`, `M`, `G` and `T`, or `KiB`, `MiB`, `GiB` and `TiB`, are powers of
1024; `kB`, `MB`, `GB` and `TB` are powers of 1000. A time without a unit is in seconds; `ms`, `s`, `m`, `h`
and `d` can be used and joined, as in `1h30m`. Units can be in upper or lower case.

If a value cannot be used, the proxy does not start, and says in one line which variable it is, what its value
is and what is allowed. A file that a setting names must be readable at the start. The log of the start has
every value that is not a default, and where it came from. One warning names all variables that begin with
`LFS_` and are no settings, except those that Kubernetes sets for services.

S3 credentials are no settings of the proxy. They come from the usual AWS places (the variables
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, a profile, web identity, instance
metadata), are refreshed before they expire, and are found anew when the file that they are in changes.

| variable | flag | default | allowed | meaning |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page in Markdown."""
    rows = []
    for name, info in setting_table().items():
        default = f"`{info.default}`" if info.default else "empty"
        allowed, meaning = _cell(info.parse.allowed), _cell(info.help)
        rows.append(f"| `{variable(name)}` | `--{flag(name)}` | {default} | {allowed} | {meaning} |\n")
    return INTRODUCTION + "".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("[", "\\[").replace("]", "\\]")
