-- One task takes one command, if it is its turn and nobody writes to its order at VTEX.
-- ARGV: command id, token, lease
-- Returns {'claimed', kind, order, payload, attempts, crashes, age, sent (1/0), memo (JSON)} or {why not[, who]}:
--   'gone', 'newer', 'finished', 'busy', 'early', 'behind' (an earlier command of the order must end first), 'locked'
local id, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = command_key(id)
local rec = read(key, 'v', 'state', 'kind', 'order', 'claim', 'until', 'after', 'born', 'attempts', 'sent', 'memo', 'place')
if not rec.state then return {'gone'} end
if newer(rec) then return {'newer'} end
if rec.state ~= 'open' and rec.state ~= 'parked' then return {'finished'} end
local attempts, crashes = tonumber(rec.attempts or 0), tonumber(redis.call('HGET', key, 'crashes') or 0)
if rec.claim ~= token then
  if rec.claim and tonumber(rec['until']) > now then return {'busy'} end
  if tonumber(rec.after or 0) > now + 0.25 then return {'early'} end
  for _, earlier in ipairs(redis.call('ZRANGEBYSCORE', queue_key(rec.order), '-inf', '(' .. rec.place)) do
    -- one that only waits for the order to be ready lets others pass; one that may have been sent does not
    if redis.call('HGET', command_key(earlier), 'waits') ~= '1' then
      redis.call('ZADD', CDUE, seconds(now + lease), id)
      return {'behind', earlier}
    end
  end
  if not take_order(rec.order, token, lease) then
    redis.call('ZADD', CDUE, seconds(now + 2), id)
    return {'locked'}
  end
  if rec.claim then
    crashes = redis.call('HINCRBY', key, 'crashes', 1)
    count('crashes')
    note(key, 'crash', rec.kind)
  end
  attempts = redis.call('HINCRBY', key, 'attempts', 1)
end
redis.call('HSET', key, 'claim', token, 'until', seconds(now + lease))
redis.call('HDEL', key, 'after', 'waits')
redis.call('ZADD', CDUE, seconds(now + lease), id)
move_state(key, rec.state, 'open', CCOUNTS)
return {'claimed', rec.kind, rec.order, redis.call('HGET', key, 'payload'), attempts, crashes,
  seconds(now - tonumber(rec.born)), rec.sent and 1 or 0, rec.memo or '{}'}
