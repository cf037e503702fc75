-- One task takes one command, if it is its turn and nobody writes to its order at VTEX.
-- ARGV: command id, token, lease, is it the message that was sent for this command (1/0)
-- Returns {'claimed', kind, order, payload, attempts, crashes, age, sent (1/0), memo (JSON)} or {why not[, who]}:
--   'gone', 'newer', 'finished', 'busy', 'early', 'behind' (another command of the order must end first), 'locked',
--   'alone' (it waits for another one whose worker died)
local id, token, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = command_key(id)
local rec = read(key, 'v', 'state', 'kind', 'order', 'claim', 'until', 'after', 'born', 'attempts', 'sent', 'memo',
  'place', 'queued')
if not rec.state then return {'gone'} end
if ARGV[4] == '1' and rec.queued and tonumber(rec.queued) > tonumber(redis.call('GET', CTAKEN) or 0) then
  redis.call('SET', CTAKEN, rec.queued)
end
if newer(rec) then return {'newer'} end
if rec.state ~= 'open' and rec.state ~= 'parked' then return {'finished'} end
local attempts, crashes, perhaps = tonumber(rec.attempts or 0), crashes_of(key)
if rec.claim ~= token then
  if rec.claim and tonumber(rec['until']) > now then return {'busy'} end
  if tonumber(rec.after or 0) > now + 0.25 then return {'early'} end
  local other = behind(id, rec.order, tonumber(rec.place))
  if other then
    redis.call('ZADD', CDUE, seconds(now + lease), id)
    return {'behind', other}
  end
  if rec.claim then
    ran_out(key, rec.kind, rec.claim)
    release_alone(rec.claim)
    redis.call('HDEL', key, 'claim', 'until')
    crashes, perhaps = crashes_of(key)
  end
  if crashes + perhaps >= ALONE_FROM and not take_alone(token, lease) then
    redis.call('ZADD', CDUE, seconds(now + 5), id)
    return {'alone'}
  end
  if not take_order(rec.order, token, lease) then
    release_alone(token)
    redis.call('ZADD', CDUE, seconds(now + 2), id)
    return {'locked'}
  end
  attempts = redis.call('HINCRBY', key, 'attempts', 1)
end
redis.call('HSET', key, 'claim', token, 'until', seconds(now + lease))
redis.call('HDEL', key, 'after', 'waits')
redis.call('ZADD', CDUE, seconds(now + lease), id)
move_state(key, rec.state, 'open', CCOUNTS)
return {'claimed', rec.kind, rec.order, redis.call('HGET', key, 'payload'), attempts, crashes,
  seconds(now - tonumber(rec.born)), rec.sent and 1 or 0, rec.memo or '{}'}
