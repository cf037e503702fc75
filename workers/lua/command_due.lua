-- Which commands should be looked at by now. ARGV: how many at most, patience. Returns {id, kind, order id, ...}
local limit, patience = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', CDUE, '-inf', seconds(now), 'LIMIT', 0, limit)) do
  local rec = read(command_key(id), 'v', 'state', 'kind', 'order', 'claim', 'until')
  if not rec.state then
    redis.call('ZREM', CDUE, id)
  elseif not newer(rec) and rec.claim and tonumber(rec['until']) > now then
    redis.call('ZADD', CDUE, rec['until'], id)
  else
    redis.call('ZADD', CDUE, seconds(now + patience), id)
    if not newer(rec) then
      found[#found + 1] = id
      found[#found + 1] = rec.kind
      found[#found + 1] = rec.order
    end
  end
end
return found
