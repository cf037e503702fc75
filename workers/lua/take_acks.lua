-- Take handles that may be committed. They stay in the buffer and come back after the lease, unless settled.
-- ARGV: how many, lease, only if there are so many (1/0). Returns {order id .. ' ' .. handle, ...}
local members = redis.call('ZRANGEBYSCORE', ACKS, '-inf', seconds(now), 'LIMIT', 0, tonumber(ARGV[1]))
if ARGV[3] == '1' and #members < tonumber(ARGV[1]) then return {} end
local back, scored = seconds(now + tonumber(ARGV[2])), {}
for _, member in ipairs(members) do
  scored[#scored + 1] = back
  scored[#scored + 1] = member
end
if #scored > 0 then redis.call('ZADD', ACKS, unpack(scored)) end
return members
