-- A process certainly died: what it had claimed is free at once, each a crash. ARGV: who it was, the longest lease of a record,
-- then the names of the leases that one process at a time holds
-- Returns how many records that were.
local who, lease, freed = ARGV[1], tonumber(ARGV[2]), 0
local function its(token) return token and process_of(token) == who end

local function free(index, id, key, step, order, totals)
  local rec = read(key, 'claim', 'state')
  local token = rec.claim
  if not its(token) then return end
  redis.call('HDEL', key, 'claim', 'until')
  release_order(order, token)
  count('crashes')
  note(key, 'crash', step)
  local crashes = redis.call('HINCRBY', key, 'crashes', 1)
  -- spaced out, so that one that is the cause does not stop all work
  local wait = crashes < ALONE_FROM and 0 or math.min(60, 2 ^ crashes)
  redis.call('HSET', key, 'after', seconds(now + wait))
  move_state(key, rec.state, 'parked', totals) -- no message will come
  redis.call('ZADD', index, seconds(now + wait), id)
  freed = freed + 1
end

-- a claimed record is due when its lease ends
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', seconds(now + lease))) do
  free(DUE, id, order_key(id), redis.call('HGET', order_key(id), 'step') or '', id)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', CDUE, '-inf', seconds(now + lease))) do
  local rec = read(command_key(id), 'kind', 'order')
  if rec.order then free(CDUE, id, command_key(id), rec.kind, rec.order, CCOUNTS) end
end
if its(redis.call('GET', ALONE)) then redis.call('DEL', ALONE) end
for i = 3, #ARGV do
  local lock = P .. 'lease:' .. ARGV[i]
  if its(redis.call('GET', lock)) then redis.call('DEL', lock) end
end
return freed
