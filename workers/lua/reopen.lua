-- A person wants an ended order looked at again, or a parked one tried now.
-- ARGV: order id, 'replay' or 'redeliver', who and why, patience, only ask (1/0)
-- Returns 'open' (somebody must enqueue it), or why not: 'unknown', 'newer', 'busy' (it is in progress),
--         'finished' (nothing went wrong with it), 'never' (the ERP was never given it), 'dead' (replay it instead).
local id, how, who, patience = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = order_key(id)
local rec = read(key, 'v', 'state', 'claim', 'until', 'erp')
if not rec.state then return 'unknown' end
if newer(rec.v) then return 'newer' end
if rec.state == 'open' then return 'busy' end
if how == 'redeliver' then
  if rec.state == 'dead' then return 'dead' end
  if rec.state == 'parked' then return 'busy' end
  if not rec.erp then return 'never' end
elseif rec.state == 'done' or rec.state == 'ignored' then
  return 'finished'
end
if ARGV[5] == '1' then return 'open' end
if how == 'redeliver' then
  redis.call('HSET', key, 'redeliver', '1')
  redis.call('HDEL', key, 'told')
end
redis.call('PERSIST', key)
redis.call('ZREM', DEAD, id)
if rec.state ~= 'parked' then redis.call('HSET', key, 'step', 'download', 'born', seconds(now)) end
redis.call('HSET', key, 'attempts', 0, 'crashes', 0)
redis.call('HDEL', key, 'claim', 'until', 'after', 'again', 'suspect', 'suspected', 'beats', 'error')
move_state(key, rec.state, 'open')
redis.call('ZADD', DUE, seconds(now + patience), id)
note(key, how, who)
return 'open'
