"""Reads ICEGATE item-wise ledgers: bytes of a file in, ledgers and problems out; then ledgers into the database.

The modules in the order in which a file goes through them; none but the last knows Django or the database:

rows       bytes of a file -> rows of cells with line numbers (html.py where the file is a web page)
cells      what one cell means: numbers, dates, codes
records    what one record line says (Regn.No., RA No., IEC, Tot.Duty, Bal.Duty, Credit-, Debit-)
sections   rows -> sections, one from each Regn.No. line to the next
printings  sections -> prints of a license's ledger; which print of a license counts; a print -> a Ledger
parse      the way in: `parse_file` and `parse_bytes`
ledger     what comes out: `ParsedFile`, `Ledger`, `Credit`, `Debit`, `Problem`
load       ledgers -> licenses, items and bills of entry in the database
"""
