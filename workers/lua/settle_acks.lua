-- VTEX has these commits: exactly they leave the buffer, and orders that waited for nothing else are done.
-- ARGV: tombstone ttl, then the members. Returns how many orders ended.
local ttl, ended = tonumber(ARGV[1]), 0
for i = 2, #ARGV do
  if redis.call('ZREM', ACKS, ARGV[i]) == 1 then
    local id = string.sub(ARGV[i], 1, string.find(ARGV[i], ' ', 1, true) - 1)
    local key = order_key(id)
    count('commits')
    if redis.call('EXISTS', key) == 1 and redis.call('HINCRBY', key, 'pending', -1) <= 0 then
      redis.call('HDEL', key, 'pending')
      local rec = read(key, 'state', 'step')
      if rec.state == 'open' and rec.step == 'ack' then
        note(key, 'committed', '', 560)
        move_state(key, 'open', 'done')
        entomb(key, id, ttl)
        ended = ended + 1
      elseif rec.state ~= 'open' and rec.state ~= 'parked' then
        note(key, 'committed', '', 560)
      end
    end
  end
end
return ended
