-- Gives history without a position the next ones, unless another is at it: how many (install_feed_publish.sql).
SELECT public.ledger_feed_publish(%(at_most)s)
