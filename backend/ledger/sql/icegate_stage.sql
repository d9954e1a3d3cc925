-- Where the ledgers of one transaction are put, before anything of ours is touched. A preview has several loads in one.
DROP TABLE IF EXISTS pg_temp.incoming_license, pg_temp.incoming_credit, pg_temp.incoming_debit, pg_temp.facts_before;
CREATE TEMPORARY TABLE incoming_license (
    license_number text PRIMARY KEY,
    license_date date NOT NULL,
    registration_number text NOT NULL,
    registration_date date,
    iec text NOT NULL,
    scheme_code text NOT NULL,
    notification_number text NOT NULL,
    currency text NOT NULL,
    port_code text NOT NULL,
    cif_fc numeric NOT NULL,
    cif_inr numeric NOT NULL,
    quantity numeric NOT NULL,
    balance_cif_fc numeric, -- what customs has left; unknown where the ledger does not say
    ledger_date date, -- the day of the print; unknown where the file does not say
    as_of date NOT NULL, -- the same, or else the newest date that the ledger mentions
    license_id bigint
) ON COMMIT DROP;
CREATE TEMPORARY TABLE incoming_credit (
    license_number text NOT NULL,
    serial_number integer NOT NULL,
    quantity numeric NOT NULL,
    cif_fc numeric NOT NULL,
    cif_inr numeric NOT NULL
) ON COMMIT DROP;
CREATE TEMPORARY TABLE incoming_debit (
    position integer PRIMARY KEY, -- of the debit among all that are loaded at once
    license_number text NOT NULL,
    serial_number integer NOT NULL,
    number text NOT NULL,
    date date NOT NULL,
    port_code text NOT NULL,
    quantity numeric NOT NULL,
    cif_fc numeric NOT NULL,
    cif_inr numeric NOT NULL,
    license_id bigint,
    import_item_id bigint,
    bill_of_entry_id bigint
) ON COMMIT DROP;
