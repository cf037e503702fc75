-- A step has had its effect: compare-and-set to the next one, or to the end.
-- ARGV: order id, token, where to ('download', 'start-handling', 'ack', or the end 'done', 'ignored', 'dead'),
--       note code, note detail, patience, tombstone ttl, how many fields, then field, value, field, value ...,
--       then if the caller goes on with start-handling at once: a token for that, the lease, the pace of `reserve`
-- Returns {where}: 'lost' (the claim is not ours any more), 'again' (news came meanwhile: it is back at download),
--         otherwise where the order is now: a step, or a state. After {'start-handling', with what claim.lua returns
--         for that step if it was asked for.
local COUNTED = {delivered = 1, handled = 1, not_ours = 1, would_deliver = 1, would_handle = 1, told_canceled = 1}
local id, token, to, code, detail = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local patience, ttl, fields = tonumber(ARGV[6]), tonumber(ARGV[7]), 2 * tonumber(ARGV[8])
local key = order_key(id)
local rec = read(key, 'state', 'step', 'claim', 'last', 'again', 'cancels', 'erp', 'at', 'crashes')

local function is_at(where)
  local next_token = where == 'start-handling' and ARGV[9 + fields]
  if not next_token then return {where} end
  return {where, claim_step(id, where, next_token, tonumber(ARGV[10 + fields]), '', {unpack(ARGV, 11 + fields)})}
end

if rec.claim ~= token then
  if rec.last == token then return is_at(rec.state == 'open' and rec.step or rec.state) end -- said twice: the first counted
  return {'lost'}
end

redis.call('HDEL', key, 'claim', 'until', 'after', 'error', 'ours')
for i = 9, 8 + fields, 2 do -- a dead order's own 'error' is one of these fields
  redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  if ARGV[i] == 'at' or ARGV[i] == 'erp' then rec[ARGV[i]] = ARGV[i + 1] end
end
redis.call('HSET', key, 'last', token, 'attempts', 0)
if rec.crashes then release_alone(token) end
if rec.step == 'start-handling' then release_order(id, token) end
note(key, code, detail)
if COUNTED[code] then count(code) end
if code == 'delivered' or code == 'told_canceled' then redis.call('ZADD', DELIVERED, seconds(now), id) end
if rec.erp and (to == 'start-handling' or to == 'ack') then -- the ERP has it: look at it again until VTEX says that it is over
  local status = redis.call('HGET', key, 'status')
  if status == 'canceled' or status == 'invoiced' then
    redis.call('ZREM', WATCH, id)
    redis.call('HDEL', STUCK, id)
  elseif code == 'told_canceled' then
    redis.call('ZADD', WATCH, seconds(now + 600), id)
  else
    redis.call('ZADD', WATCH, 'NX', seconds(now + 3600), id)
  end
end
if code == 'delivered' or code == 'told_canceled' then redis.call('HDEL', key, 'redeliver') end

if rec.again then
  if covers(rec.at, rec.again) then
    redis.call('HDEL', key, 'again', 'cancels')
  elseif to ~= 'start-handling' and (to ~= 'dead' or (rec.erp and rec.cancels)) then
    -- a dead one, too, if the ERP may have it and must hear of a cancellation
    redis.call('HDEL', key, 'again', 'cancels')
    redis.call('HSET', key, 'step', 'download')
    redis.call('ZADD', DUE, seconds(now + patience), id)
    return {'again'}
  end
end

if to == 'download' or to == 'start-handling' then
  redis.call('HSET', key, 'step', to)
  redis.call('ZADD', DUE, seconds(now + patience), id)
  return is_at(to)
end

local waiting = release_handles(key, id)
if to == 'ack' then
  if waiting > 0 then
    redis.call('HSET', key, 'step', 'ack')
    redis.call('ZADD', DUE, seconds(now + patience), id)
    return {'ack'}
  end
  to = 'done'
end
move_state(key, rec.state, to)
entomb(key, id, ttl)
if to == 'dead' then
  redis.call('PERSIST', key) -- dead is for a person: it does not expire by itself
  redis.call('ZADD', DEAD, seconds(now), id)
end
return {to}
