-- A step has had its effect: compare-and-set to the next one, or to the end.
-- ARGV: order id, token, where to ('download', 'start-handling', 'ack', or the end 'done', 'ignored', 'dead'),
--       note code, note detail, patience, tombstone ttl, how many fields, then field, value, field, value ...,
--       then if the caller goes on with start-handling at once: a token for that, the lease, the pace of `reserve`
-- Returns {where}: 'lost' (the claim is not ours any more), 'again' (news came meanwhile: it is back at download),
--         otherwise where the order is now: a step, or a state. After {'start-handling', with what claim.lua returns
--         for that step if it was asked for; after {'ack', 1 if no open order is still on its way to its commit, else 0.
local COUNTED = {delivered = 1, handled = 1, not_ours = 1, would_deliver = 1, would_handle = 1, told_canceled = 1}
local id, token, to, code, detail = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local patience, ttl, fields = tonumber(ARGV[6]), tonumber(ARGV[7]), 2 * tonumber(ARGV[8])
local key = order_key(id)
local rec = read(key, 'state', 'step', 'claim', 'last', 'again', 'cancels', 'erp', 'at', 'status', 'crashes', 'redeliver', 'pending', 'log')

local function is_at(where)
  if where == 'ack' then
    return {where, redis.call('ZCARD', ACKS) >= tonumber(redis.call('HGET', COUNTS, 'open') or 0) and 1 or 0}
  end
  local next_token = where == 'start-handling' and ARGV[9 + fields]
  if not next_token then return {where} end
  return {where, claim_step(id, where, next_token, tonumber(ARGV[10 + fields]), '', 11 + fields)}
end

if rec.claim ~= token then
  if rec.last == token then return is_at(rec.state == 'open' and rec.step or rec.state) end -- said twice: the first counted
  return {'lost'}
end

for i = 9, 8 + fields, 2 do
  if ARGV[i] == 'at' or ARGV[i] == 'erp' or ARGV[i] == 'status' then rec[ARGV[i]] = ARGV[i + 1] end
end
if rec.crashes then release_alone(token) end
if rec.step == 'start-handling' then release_order(id, token) end
if COUNTED[code] then count(code) end
if code == 'delivered' or code == 'told_canceled' then
  redis.call('ZADD', DELIVERED, seconds(now), id)
  if rec.redeliver then redis.call('HDEL', key, 'redeliver') end
end
if rec.erp and (to == 'start-handling' or to == 'ack') then -- the ERP has it: look at it again until VTEX says that it is over
  if rec.status == 'canceled' or rec.status == 'invoiced' then
    redis.call('ZREM', WATCH, id)
    redis.call('HDEL', STUCK, id)
  elseif code == 'told_canceled' then
    redis.call('ZADD', WATCH, seconds(now + 600), id)
  else
    redis.call('ZADD', WATCH, 'NX', seconds(now + 3600), id)
  end
end

local again = false
if rec.again then
  local seen = covers(rec.at, rec.again)
  -- a dead one, too, if the ERP may have it and must hear of a cancellation
  again = not seen and to ~= 'start-handling' and (to ~= 'dead' or (rec.erp and rec.cancels))
  if seen or again then redis.call('HDEL', key, 'again', 'cancels') end
end

local log, pending = noted(rec.log, code, detail), tonumber(rec.pending or 0)
if not again and to ~= 'download' and to ~= 'start-handling' then
  pending = pending + release_handles(id)
  if to == 'ack' and pending <= 0 then to = 'done' end
  if to ~= 'ack' then
    entomb(key, ttl, 'error', 'ours')
    -- a dead order's own 'error' is one of the fields
    redis.call('HSET', key, 'last', token, 'log', log, 'pending', pending, 'state', to, unpack(ARGV, 9, 8 + fields))
    move_totals(COUNTS, rec.state, to, 1)
    finished({id})
    if to == 'dead' then
      redis.call('PERSIST', key) -- dead is for a person: it does not expire by itself
      redis.call('ZADD', DEAD, seconds(now), id)
    end
    return {to}
  end
end

redis.call('HDEL', key, 'claim', 'until', 'after', 'error', 'ours')
redis.call('HSET', key, 'last', token, 'log', log, 'pending', pending, 'attempts', 0, 'step', again and 'download' or to,
  unpack(ARGV, 9, 8 + fields))
redis.call('ZADD', DUE, seconds(now + patience), id)
return again and {'again'} or is_at(to)
