-- One task takes one step of one order, and the slot of its first call.
-- ARGV: order id, step, token, lease, a paused scope that is tried nevertheless, then the pace of `reserve`, or nothing
-- Returns {'claimed', attempts, crashes, age, erp, told, at, news, redeliver (1/0), forgotten (1/0), says,
--          seconds since that was heard, occurrence, what `reserve` returns or {}} or {why not}:
--   'gone' (no record), 'newer', 'finished', 'elsewhere' (the order is at another step), 'busy', 'early', 'locked',
--   'alone' (it waits for another one whose worker died),
--   'paused' (its message is dropped; the step is due as soon as the sweeper may go on)
return claim_step(ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6] and 6)
