-- A peer: running totals for each import item and license, kept by row triggers in the writer's own transaction, as a
-- person who knows databases would write them by hand. In a schema of their own: DROP SCHEMA row_totals CASCADE removes
-- them all.
--
-- They are sums, and what follows from the sums of one row: not the available value of an item, which depends on other
-- items of its license. TRUNCATE is not followed, and a link and a line of one allotment that are written at the same
-- time by two transactions may miss each other.
CREATE SCHEMA row_totals;
CREATE TABLE row_totals.license (
    license_id bigint PRIMARY KEY,
    credit_cif numeric(15, 2) NOT NULL DEFAULT 0,
    debited_cif numeric(15, 2) NOT NULL DEFAULT 0,
    allotted_cif numeric(15, 2) NOT NULL DEFAULT 0,
    balance_cif numeric(15, 2) GENERATED ALWAYS AS (greatest(credit_cif - debited_cif - allotted_cif, 0)) STORED,
    overdrawn_cif numeric(15, 2) GENERATED ALWAYS AS (greatest(debited_cif + allotted_cif - credit_cif, 0)) STORED,
    is_null boolean GENERATED ALWAYS AS (credit_cif - debited_cif - allotted_cif < 500) STORED
) WITH (fillfactor = 80);
CREATE TABLE row_totals.item (
    import_item_id bigint PRIMARY KEY,
    license_id bigint NOT NULL,
    debited_quantity numeric(15, 3) NOT NULL DEFAULT 0,
    debited_value numeric(15, 2) NOT NULL DEFAULT 0,
    allotted_quantity numeric(15, 3) NOT NULL DEFAULT 0,
    allotted_value numeric(15, 2) NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
-- to how many bills of entry an allotment is linked: two links of one statement both see both
CREATE TABLE row_totals.allotment (allotment_id bigint PRIMARY KEY, links integer NOT NULL);

INSERT INTO row_totals.allotment
SELECT allotment_id, count(*) FROM public.ledger_allotment_bills_of_entry GROUP BY allotment_id;
INSERT INTO row_totals.item
SELECT item.id, item.license_id, coalesce(debited.quantity, 0), coalesce(debited.value, 0),
    coalesce(allotted.quantity, 0), coalesce(allotted.value, 0)
FROM public.license_importitem AS item
LEFT JOIN (
    SELECT import_item_id, sum(quantity) AS quantity, sum(cif_fc) AS value FROM public.ledger_billofentryline
    WHERE transaction_type = 'D' GROUP BY import_item_id
) AS debited ON debited.import_item_id = item.id
LEFT JOIN (
    SELECT import_item_id, sum(quantity) AS quantity, sum(cif_fc) AS value FROM public.ledger_allotmentline
    WHERE allotment_id NOT IN (SELECT allotment_id FROM row_totals.allotment) GROUP BY import_item_id
) AS allotted ON allotted.import_item_id = item.id;
INSERT INTO row_totals.license (license_id, credit_cif, debited_cif, allotted_cif)
SELECT license.id, coalesce(credit.cif_fc, 0), coalesce(item.debited, 0), coalesce(item.allotted, 0)
FROM public.license_license AS license
LEFT JOIN (
    SELECT license_id, sum(cif_fc) AS cif_fc FROM public.license_exportitem GROUP BY license_id
) AS credit ON credit.license_id = license.id
LEFT JOIN (
    SELECT license_id, sum(debited_value) AS debited, sum(allotted_value) AS allotted
    FROM row_totals.item GROUP BY license_id
) AS item ON item.license_id = license.id;

CREATE FUNCTION row_totals.debit(item_id bigint, quantity numeric, value numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    of_license bigint;
BEGIN
    UPDATE row_totals.item AS item
    SET debited_quantity = item.debited_quantity + quantity, debited_value = item.debited_value + value
    WHERE item.import_item_id = item_id
    RETURNING item.license_id INTO of_license;
    UPDATE row_totals.license AS license SET debited_cif = license.debited_cif + value
    WHERE license.license_id = of_license;
END;
$$;
CREATE FUNCTION row_totals.allot(item_id bigint, quantity numeric, value numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    of_license bigint;
BEGIN
    UPDATE row_totals.item AS item
    SET allotted_quantity = item.allotted_quantity + quantity, allotted_value = item.allotted_value + value
    WHERE item.import_item_id = item_id
    RETURNING item.license_id INTO of_license;
    UPDATE row_totals.license AS license SET allotted_cif = license.allotted_cif + value
    WHERE license.license_id = of_license;
END;
$$;

CREATE FUNCTION row_totals.boe_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.transaction_type = 'D' THEN
        PERFORM row_totals.debit(OLD.import_item_id, -OLD.quantity, -OLD.cif_fc);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.transaction_type = 'D' THEN
        PERFORM row_totals.debit(NEW.import_item_id, NEW.quantity, NEW.cif_fc);
    END IF;
    RETURN NULL;
END;
$$;
CREATE FUNCTION row_totals.allotment_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT'
        AND NOT EXISTS (SELECT FROM row_totals.allotment WHERE allotment_id = OLD.allotment_id AND links > 0) THEN
        PERFORM row_totals.allot(OLD.import_item_id, -OLD.quantity, -OLD.cif_fc);
    END IF;
    IF TG_OP <> 'DELETE'
        AND NOT EXISTS (SELECT FROM row_totals.allotment WHERE allotment_id = NEW.allotment_id AND links > 0) THEN
        PERFORM row_totals.allot(NEW.import_item_id, NEW.quantity, NEW.cif_fc);
    END IF;
    RETURN NULL;
END;
$$;
CREATE FUNCTION row_totals.link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    now_linked integer;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE row_totals.allotment SET links = links - 1 WHERE allotment_id = OLD.allotment_id
        RETURNING links INTO now_linked;
        IF now_linked = 0 THEN
            PERFORM row_totals.allot(import_item_id, quantity, cif_fc)
            FROM public.ledger_allotmentline WHERE allotment_id = OLD.allotment_id ORDER BY import_item_id;
        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO row_totals.allotment AS allotment (allotment_id, links) VALUES (NEW.allotment_id, 1)
        ON CONFLICT (allotment_id) DO UPDATE SET links = allotment.links + 1
        RETURNING links INTO now_linked;
        IF now_linked = 1 THEN
            PERFORM row_totals.allot(import_item_id, -quantity, -cif_fc)
            FROM public.ledger_allotmentline WHERE allotment_id = NEW.allotment_id ORDER BY import_item_id;
        END IF;
    END IF;
    RETURN NULL;
END;
$$;
CREATE FUNCTION row_totals.export_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE row_totals.license SET credit_cif = credit_cif - OLD.cif_fc WHERE license_id = OLD.license_id;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE row_totals.license SET credit_cif = credit_cif + NEW.cif_fc WHERE license_id = NEW.license_id;
    END IF;
    RETURN NULL;
END;
$$;
CREATE FUNCTION row_totals.import_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO row_totals.item (import_item_id, license_id) VALUES (NEW.id, NEW.license_id);
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM row_totals.item WHERE import_item_id = OLD.id; -- its lines went first
    ELSE
        UPDATE row_totals.license AS license
        SET debited_cif = debited_cif - debited_value, allotted_cif = allotted_cif - allotted_value
        FROM row_totals.item AS item
        WHERE item.import_item_id = OLD.id AND license.license_id = OLD.license_id;
        UPDATE row_totals.item SET license_id = NEW.license_id WHERE import_item_id = NEW.id;
        UPDATE row_totals.license AS license
        SET debited_cif = debited_cif + debited_value, allotted_cif = allotted_cif + allotted_value
        FROM row_totals.item AS item
        WHERE item.import_item_id = NEW.id AND license.license_id = NEW.license_id;
    END IF;
    RETURN NULL;
END;
$$;
CREATE FUNCTION row_totals.license() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO row_totals.license (license_id) VALUES (NEW.id);
    ELSE
        DELETE FROM row_totals.license WHERE license_id = OLD.id;
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER row_totals AFTER INSERT OR UPDATE OR DELETE ON public.ledger_billofentryline
FOR EACH ROW EXECUTE FUNCTION row_totals.boe_line();
CREATE TRIGGER row_totals AFTER INSERT OR UPDATE OR DELETE ON public.ledger_allotmentline
FOR EACH ROW EXECUTE FUNCTION row_totals.allotment_line();
CREATE TRIGGER row_totals AFTER INSERT OR UPDATE OR DELETE ON public.ledger_allotment_bills_of_entry
FOR EACH ROW EXECUTE FUNCTION row_totals.link();
CREATE TRIGGER row_totals AFTER INSERT OR UPDATE OR DELETE ON public.license_exportitem
FOR EACH ROW EXECUTE FUNCTION row_totals.export_item();
CREATE TRIGGER row_totals AFTER INSERT OR UPDATE OF license_id OR DELETE ON public.license_importitem
FOR EACH ROW EXECUTE FUNCTION row_totals.import_item();
CREATE TRIGGER row_totals AFTER INSERT OR DELETE ON public.license_license
FOR EACH ROW EXECUTE FUNCTION row_totals.license();
ANALYZE row_totals.license, row_totals.item, row_totals.allotment;
