-- Part of a capture trigger: tells a relay that sleeps. One that sleeps holds this lock; while none does, each writer holds
-- it shared until its transaction ends, and NOTIFY, which is a lock of the whole database at commit, is spared. So a
-- relay falls asleep only when no writer is under way, and who comes later wakes it (ledger/relay.py). Nobody waits.
IF FOUND AND NOT pg_try_advisory_xact_lock_shared((x'4C63'::bigint << 48) | 1) THEN
    PERFORM pg_notify('ledger_change', '');
END IF;
