-- A person wants a dead or refused command carried after all, or one that waits looked at now.
-- ARGV: command id, who and why, patience, only ask (1/0)
-- Returns {'open', kind, order id} (somebody must enqueue it), or {why not}: 'unknown', 'newer', 'busy' (it is in
--   progress), 'finished' (it is done), 'void' (it cannot be used: send a better one).
local id, who, patience = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = command_key(id)
local rec = read(key, 'v', 'state', 'kind', 'order', 'place', 'void')
if not rec.state then return {'unknown'} end
if newer(rec.v) then return {'newer'} end
if rec.void then return {'void'} end
if rec.state == 'open' then return {'busy'} end
if rec.state == 'done' then return {'finished'} end
if ARGV[4] == '1' then return {'open'} end
if rec.state ~= 'parked' then -- at its old place: what came after it and is not sent yet, comes after it again
  redis.call('HSET', key, 'born', seconds(now))
  line_up(id, rec.order, rec.place)
end
redis.call('PERSIST', key)
redis.call('ZREM', CDEAD, id)
redis.call('ZREM', CTELL, id)
redis.call('HSET', key, 'attempts', 0, 'crashes', 0)
redis.call('HDEL', key, 'after', 'error', 'outcome', 'ended', 'suspect', 'suspected', 'beats')
move_state(key, rec.state, 'open', CCOUNTS)
redis.call('ZADD', CDUE, seconds(now + patience), id)
enqueued(key)
note(key, 'replay', who)
return {'open', rec.kind, rec.order}
