-- A command did not come to an end yet.
-- ARGV: command id, token, 'retry' | 'park' | 'wait' (for the order to be ready) | 'pass' (VTEX has it, and a person
--       decides), delay, why, counts (1, 0, or 'fresh': a look that failed before has worked), patience
-- 'retry' and 'pass' come back by a message, the others by the sweeper; 'wait' and 'pass' let other commands pass,
-- unless VTEX may have this one and it is not known.
-- Returns {'lost'} or {'deferred', the id of the command that may go meanwhile, or ''}
local id, token, how, delay, why = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local counts, patience = ARGV[6], tonumber(ARGV[7])
local key = command_key(id)
local rec = read(key, 'state', 'claim', 'order', 'last', 'error', 'sent', 'attempts', 'crashes', 'log')
if rec.claim ~= token then
  if rec.last == token then return {'deferred', ''} end
  return {'lost'}
end
local message = how == 'retry' or how == 'pass'
local lets_pass = (how == 'wait' or how == 'pass') and not rec.sent
redis.call('HDEL', key, 'claim', 'until')
local attempts = tonumber(rec.attempts or 0)
if counts == '0' then attempts = attempts - 1 elseif counts == 'fresh' then attempts = 0 end
redis.call('HSET', key, 'last', token, 'after', seconds(now + delay), 'error', why, 'attempts', attempts,
  'log', why == rec.error and rec.log or noted(rec.log, how, why))
if lets_pass then redis.call('HSET', key, 'waits', '1') end
release_order(rec.order, token)
if rec.crashes then release_alone(token) end
move_state(key, rec.state, message and 'open' or 'parked', CCOUNTS)
redis.call('ZADD', CDUE, seconds(now + delay + (message and patience or 0)), id)
if how == 'retry' or how == 'park' then count('retries') end
return {'deferred', lets_pass and next_command(rec.order) or ''}
