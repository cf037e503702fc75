-- Take handles that may be committed. They stay in the buffer and come back after the lease, unless settled.
-- ARGV: how many, lease. Returns {order id .. ' ' .. handle, ...}
local members = redis.call('ZRANGEBYSCORE', ACKS, '-inf', seconds(now), 'LIMIT', 0, tonumber(ARGV[1]))
for _, member in ipairs(members) do redis.call('ZADD', ACKS, seconds(now + tonumber(ARGV[2])), member) end
return members
