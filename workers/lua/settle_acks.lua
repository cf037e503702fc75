-- VTEX has these commits: exactly they leave the buffer, and orders that waited for nothing else are done.
-- ARGV: tombstone ttl, then the members. Returns how many orders ended.
local ttl, settled, orders, commits, ended = tonumber(ARGV[1]), 0, {}, {}, {}
for i = 2, #ARGV do
  if redis.call('ZREM', ACKS, ARGV[i]) == 1 then
    local id = string.sub(ARGV[i], 1, string.find(ARGV[i], ' ', 1, true) - 1)
    if not commits[id] then orders[#orders + 1] = id end
    commits[id] = (commits[id] or 0) + 1
    settled = settled + 1
  end
end

for _, id in ipairs(orders) do
  local key = order_key(id)
  local rec = read(key, 'state', 'step', 'pending', 'log')
  local left = tonumber(rec.pending or 0) - commits[id]
  if rec.state and left > 0 then
    redis.call('HSET', key, 'pending', left)
  elseif rec.state == 'open' and rec.step == 'ack' then
    redis.call('HSET', key, 'state', 'done', 'log', noted(rec.log, 'committed', '', 560))
    entomb(key, ttl, 'pending')
    ended[#ended + 1] = id
  elseif rec.state then
    redis.call('HDEL', key, 'pending')
    local working = rec.state == 'open' or rec.state == 'parked'
    if not working then redis.call('HSET', key, 'log', noted(rec.log, 'committed', '', 560)) end
  end
end

if settled > 0 then count('commits', settled) end
if #ended > 0 then
  move_totals(COUNTS, 'open', 'done', #ended)
  finished(ended)
end
return #ended
