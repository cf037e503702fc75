-- A command did not come to an end yet.
-- ARGV: command id, token, 'retry' | 'park' | 'wait' (for the order to be ready: others may pass), delay, why,
--       counts (1/0), patience
-- Returns {'lost'} or {'deferred', the id of the command that may go meanwhile, or ''}
local id, token, how, delay, why = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local counts, patience = ARGV[6] == '1', tonumber(ARGV[7])
local key = command_key(id)
local rec = read(key, 'state', 'claim', 'order', 'last', 'error')
if rec.claim ~= token then
  if rec.last == token then return {'deferred', ''} end
  return {'lost'}
end
redis.call('HDEL', key, 'claim', 'until')
redis.call('HSET', key, 'last', token, 'after', seconds(now + delay), 'error', why)
if how == 'wait' then redis.call('HSET', key, 'waits', '1') end
if not counts then redis.call('HINCRBY', key, 'attempts', -1) end
release_order(rec.order, token)
move_state(key, rec.state, how == 'retry' and 'open' or 'parked', CCOUNTS)
redis.call('ZADD', CDUE, seconds(now + delay + (how == 'retry' and patience or 0)), id)
if how ~= 'wait' then count('retries') end
if why ~= rec.error then note(key, how, why) end
return {'deferred', how == 'wait' and next_command(rec.order) or ''}
