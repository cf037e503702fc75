-- A command has its end: done, refused or dead. The ERP is still to be told.
-- ARGV: command id, token, end, outcome (JSON), words, tombstone ttl, how long one who tells the ERP is relied on
-- Returns {'lost'}, or {'ended', the id of the command that is next for this order, or '', must somebody be sent to
--   tell the ERP (1/0)}
local id, token, to, outcome, words = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl = tonumber(ARGV[6])
local key = command_key(id)
local rec = read(key, 'state', 'claim', 'order', 'last', 'kind', 'crashes', 'log')
if rec.claim ~= token then
  if rec.last == token then return {'ended', '', 1} end
  return {'lost'}
end
redis.call('HDEL', key, 'claim', 'until', 'after', 'waits', 'attempts', 'crashes', 'suspect', 'suspected', 'beats', 'error')
-- of a dead one it may be unknown whether VTEX has it: whoever opens it again must look
if to ~= 'dead' then redis.call('HDEL', key, 'memo', 'sent') end
-- an invoice may be long, and hold the customer's data; its outcome says what must be known of it later
if to == 'done' and rec.kind == 'invoice' then redis.call('HSET', key, 'payload', '{}') end
redis.call('HSET', key, 'last', token, 'outcome', outcome, 'ended', instant_of_end(), 'state', to,
  'log', noted(rec.log, to, words))
move_totals(CCOUNTS, rec.state, to, 1)
redis.call('ZREM', CDUE, id)
redis.call('ZREM', queue_key(rec.order), id)
local others = redis.call('ZRANGE', queue_key(rec.order), 0, -1)
for _, other in ipairs(others) do -- what waits may have waited for this one
  if redis.call('HGET', command_key(other), 'waits') == '1' then redis.call('HDEL', command_key(other), 'after') end
end
redis.call('ZADD', CTELL, seconds(now), id)
release_order(rec.order, token)
if rec.crashes then release_alone(token) end
if to == 'dead' then
  redis.call('ZADD', CDEAD, seconds(now), id)
else
  redis.call('EXPIRE', key, ttl)
  if #others == 0 then redis.call('EXPIRE', commands_key(rec.order), ttl) end
end
local nobody = redis.call('SET', TELLING, '1', 'NX', 'PX', math.ceil(tonumber(ARGV[7]) * 1000))
return {'ended', #others > 0 and next_command(rec.order) or '', nobody and 1 or 0}
