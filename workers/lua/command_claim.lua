-- One task takes one command, if it is its turn and nobody writes to its order at VTEX.
-- ARGV: command id, token, lease, is it the message that was sent for this command (1/0), pace (four numbers: its first
--       call's slot is reserved) or nothing
-- Returns {'claimed', kind, order, payload, attempts, crashes, age, sent (1/0), memo (JSON), now, when the ledger began,
--   how many commands of the order are remembered, the slot or nothing} or {why not[, who]}:
--   'paused', 'gone', 'newer', 'finished', 'busy', 'early', 'behind' (another command of the order must end first),
--   'locked', 'alone' (it waits for another one whose worker died)
return claim_command(ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', ARGV[5] and 5)
