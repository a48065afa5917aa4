"""Lines with a delimiter too many, of which DuckDB says nothing where the last cells are blank."""

import re
from typing import TYPE_CHECKING

from pipelines.errors import Problem, UnreadableFile
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

    from pipelines.readers.csv import Text

CHUNK = 1 << 22
LONGEST = 4 << 20
MOST = 1000


def refuse_wide(con: "duckdb.DuckDBPyConnection", text: "Text") -> None:
    """Raise `UnreadableFile` for records with more cells than the header has, even if the last of them are blank.

    A stray delimiter would shift every cell after it. Only where the delimiters do not simply add up are lines looked
    at; one that begins or ends within quotes is left to DuckDB.
    """
    if _delimiters(text) == text.n_lines * (len(text.names) - 1):
        return
    quote = re.escape(text.quote)
    bare = f"regexp_replace(line, {lit(f'{quote}[^{quote}]*{quote}')}, '', 'g')"
    found = con.execute(f"""
        select number from (
            select row_number() over () + {text.header_lines} as number,
                case when contains(line, {lit(text.quote)}) then {bare} else line end as bare
            from read_csv({lit(str(text.path))}, auto_detect = false, header = false, quote = '', escape = '',
                skip = {text.header_lines}, columns = {{'line': 'varchar'}}, delim = '\x1f', new_line = '\\n',
                max_line_size = {LONGEST}, strict_mode = true)
        )
        where number <= {text.header_lines + text.n_lines} and not contains(bare, {lit(text.quote)})
            and length(bare) - length(replace(bare, {lit(text.delimiter)}, '')) >= {len(text.names)}
        order by number limit {MOST}
    """).fetchall()
    if found:
        action = "A delimiter stands where it should not, or a cell that holds one has no quotes: correct the export."
        raise UnreadableFile([Problem("", f"line {n}", f"{len(text.names)} columns", action) for (n,) in found])


def _delimiters(text: "Text") -> int:
    """How many there are in all records, those between quotes on one line aside."""
    delimiter, quote = text.delimiter.encode(), re.escape(text.quote.encode())
    quoted = re.compile(quote + b"[^" + quote + rb"\n]*" + quote)
    with text.path.open("rb") as file:
        file.seek(text.records_at)
        n, left = 0, text.footer_at - text.records_at
        while left > 0 and (data := file.read(min(left, CHUNK))):
            data += file.readline(max(left - len(data), 0))
            n, left = n + data.count(delimiter), left - len(data)
            n -= sum(cell.count(delimiter) for cell in quoted.findall(data))
    return n
