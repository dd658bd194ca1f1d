"""Journals as the CSV that QuickBooks Online, Xero and NetSuite import.

Problem. Each of the three takes journal entries from a file, and each has its own columns, its own way to
write a date and to tell a debit from a credit, and its own largest journal. A file that departs from them
is refused there, line by line, at month's end.

Decision. One journal (`journal.py`: added up by account, rounded, each entry balanced) and a row of facts
for each program, from its own documentation. A journal beyond a program's limits is divided into more
entries or more files, or refused here, with the reason. Accounts are those of a chart (`chart.toml`).

- QuickBooks Online: JournalNo (one for all lines of an entry), JournalDate, AccountName (a sub-account as
  `Parent:Child`; account numbers are switched off for the import), Debits or Credits, never negative;
  Name is wanted beside a receivable or a payable. At most 1,000 rows a file.
  https://quickbooks.intuit.com/learn-support/en-au/help-article/import-export-files/import-journal-entries-quickbooks-online/L4tQBwbs7_AU_en_AU
  https://www.importcsv.com/blog/quickbooks-csv-import
- Xero: Narration and Date (dd/mm/yyyy) are the same on all lines of a journal; AccountCode, the name of a
  TaxRate, and one Amount, positive for a debit. At most 300 lines a file. Journals arrive as drafts. Xero
  lets nobody post to its own Accounts Receivable and Payable: a chart names others.
  https://help.xero.com/nz/ManualJournalsImport
  https://help.xero.com/nz/Q_Accruals_ARAP
- NetSuite: lines of an entry share an External ID, which also keeps it from being imported twice; Account
  is a number where the preference Use Account Numbers is on, else a name; Debit or Credit with at most
  ten digits before the point and two after it. At most 200 lines an entry.
  https://docs.oracle.com/en/cloud/saas/netsuite/ns-online-help/section_1534492737.html
  https://docs.oracle.com/en/cloud/saas/netsuite/ns-online-help/article_159361107074.html

Rejected. Their web interfaces (they need credentials, and a controller wants to review postings).
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import BinaryIO, NamedTuple

from inferworks.books.exports.base import ExportFile
from inferworks.books.exports.chart_of_accounts import Chart
from inferworks.books.exports.journal import Dated, Journal
from inferworks.errors import UserError
from inferworks.spreadsheet import inert
from inferworks.visible import visible


class Program(NamedTuple):
    """A program that imports journals, and the form of its files."""

    name: str
    about: str
    cells: Mapping[str, str]
    """Format of each column's cells: `{debit}` and `{credit}` are never negative, one of them empty."""
    rows_per_file: int
    lines_per_entry: int
    parties: bool
    """True if a receivable names its customer, and a payable its supplier."""
    most_digits: int = 12
    """The digits that an amount may have before its point."""


class LedgerCsvExporter:
    """Files for one program, under one chart."""

    def __init__(self, program: Program, chart: Chart) -> None:
        self.name, self.about = program.name, program.about
        self._program, self._chart = program, chart

    def files(self, journal: Journal) -> Sequence[ExportFile]:
        """Return as few files as possible; entries stay whole. UserError on too large an amount."""
        program = self._program
        largest = max((abs(s.amount) for e in journal.entries for s in e.sides), default=0)
        if len(journal.text(largest).partition(".")[0]) > program.most_digits:
            raise UserError(
                f"an amount of {journal.text(largest)} {journal.currency} has more than the "
                f"{program.most_digits} digits that {program.name} takes"
            )
        parts: list[list[Dated]] = [[]]
        for entry in journal.entries:
            rows = sum(len(one.sides) for one in parts[-1]) + len(entry.sides)
            if parts[-1] and rows > program.rows_per_file:
                parts.append([])
            parts[-1].append(entry)
        names = [f"-{number}" if len(parts) > 1 else "" for number in range(1, len(parts) + 1)]
        return [
            ExportFile(f"{program.name}{name}.csv", partial(self._write, journal, part))
            for name, part in zip(names, parts, strict=True)
        ]

    def _write(self, journal: Journal, entries: Iterable[Dated], sink: BinaryIO) -> None:
        cells = self._program.cells
        writer = csv.writer(codecs.getwriter("utf-8")(sink), lineterminator="\n")
        writer.writerow(cells)
        by_number = self._chart.netsuite_account == "number"
        for entry in entries:
            for side in entry.sides:
                amount = journal.text(abs(side.amount))
                values = {
                    "entry": entry,
                    "side": side,
                    "journal": journal,
                    "chart": self._chart,
                    "netsuite_account": side.account.number if by_number else side.account.name,
                    "amount": journal.text(side.amount),
                    "debit": amount if side.amount > 0 else "",
                    "credit": "" if side.amount > 0 else amount,
                }
                writer.writerow(inert(visible(c.format_map(values))) for c in cells.values())


QUICKBOOKS = Program(
    name="quickbooks",
    about="journal entries for QuickBooks Online",
    cells={
        "JournalNo": "{entry.number}",
        "JournalDate": "{entry.date:%m/%d/%Y}",
        "AccountName": "{side.account.name}",
        "Debits": "{debit}",
        "Credits": "{credit}",
        "Description": "{entry.text}",
        "Name": "{side.party}",
        "Currency": "{journal.currency}",
    },
    rows_per_file=1_000,
    lines_per_entry=1_000,
    parties=True,
)
XERO = Program(
    name="xero",
    about="manual journals for Xero",
    cells={
        "*Narration": "{entry.text} ({entry.number})",
        "*Date": "{entry.date:%d/%m/%Y}",
        "Description": "{side.account.name}",
        "*AccountCode": "{side.account.number}",
        "*TaxRate": "{side.account.tax_rate}",
        "*Amount": "{amount}",
        "TrackingName1": "",
        "TrackingOption1": "",
        "TrackingName2": "",
        "TrackingOption2": "",
    },
    rows_per_file=300,
    lines_per_entry=300,
    parties=False,
)
NETSUITE = Program(
    name="netsuite",
    about="journal entries for NetSuite",
    cells={
        "External ID": "{entry.number}",
        "Date": "{entry.date:%m/%d/%Y}",
        "Subsidiary": "{chart.netsuite_subsidiary}",
        "Currency": "{journal.currency}",
        "Memo": "{entry.text}",
        "Account": "{netsuite_account}",
        "Debit": "{debit}",
        "Credit": "{credit}",
        "Name": "{side.party}",
    },
    rows_per_file=25_000,
    lines_per_entry=200,
    parties=True,
    most_digits=10,
)
PROGRAMS = {program.name: program for program in (QUICKBOOKS, XERO, NETSUITE)}
