-- Of which ends the ERP should be told by now; they are put off a little.
-- ARGV: how many at most, patience, how long the caller is relied on
-- Returns their ids. If there are none, the next command that ends sends somebody to tell it.
local ids = redis.call('ZRANGEBYSCORE', CTELL, '-inf', seconds(now), 'LIMIT', 0, tonumber(ARGV[1]))
if #ids == 0 then
  redis.call('DEL', TELLING)
  return ids
end
redis.call('SET', TELLING, '1', 'PX', math.ceil(tonumber(ARGV[3]) * 1000))
for _, id in ipairs(ids) do redis.call('ZADD', CTELL, seconds(now + tonumber(ARGV[2])), id) end
return ids
