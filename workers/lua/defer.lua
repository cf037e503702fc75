-- A step did not work out: try it again later.
-- ARGV: order id, token, 'retry' (a message will come) or 'park' (the sweeper enqueues it), delay, patience,
--       why (for people), does it count as an attempt (1/0), the age at which a parked order's handles are committed
-- Returns 1, or 0 when the claim is no longer ours.
local id, token, how, delay, patience = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local why, counts = ARGV[6], ARGV[7] == '1'
local key = order_key(id)
local rec = read(key, 'state', 'claim', 'step', 'last', 'born', 'ours', 'crashes', 'attempts')
if rec.claim ~= token then return rec.last == token and 1 or 0 end -- said twice: the first counted
redis.call('HDEL', key, 'claim', 'until')
if rec.crashes then release_alone(token) end
redis.call('HSET', key, 'last', token, 'after', seconds(now + delay), 'error', why,
  'attempts', tonumber(rec.attempts or 0) - (counts and 0 or 1))
if rec.step == 'start-handling' then release_order(id, token) end
if how == 'park' then
  move_state(key, rec.state, 'parked')
  redis.call('ZADD', DUE, seconds(now + delay), id)
  if counts and now - tonumber(rec.born) >= tonumber(ARGV[8]) then
    -- an event that comes back again and again may be dropped by VTEX, and holds others back: the order is ours now
    redis.call('HSET', key, 'ours', 1)
    if not rec.ours then note(key, 'ours') end
    redis.call('HINCRBY', key, 'pending', release_handles(id))
  end
else
  redis.call('ZADD', DUE, seconds(now + delay + patience), id)
end
if counts then
  count('retries')
  note(key, how, string.format('%s in %.1f s: %s', rec.step, delay, why))
end
return 1
