-- Which commands should be looked at by now. ARGV: how many at most, patience, do messages wait in the queue (1/0)
-- In a pause none is: its message would be dropped, and it would be due again at once.
-- Returns {how many were looked at, id, kind, order id, id, kind, order id ...}: each must be enqueued again.
local limit, patience, waiting = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
if redis.call('EXISTS', P .. 'paused:vtex') == 1 then return {0} end
local ids = redis.call('ZRANGEBYSCORE', CDUE, '-inf', seconds(now), 'LIMIT', 0, limit)
local found = {#ids}
local taken = tonumber(redis.call('GET', CTAKEN) or 0)
for _, id in ipairs(ids) do
  local rec = read(command_key(id), 'v', 'state', 'kind', 'order', 'claim', 'until', 'place', 'queued')
  if not rec.state then
    redis.call('ZREM', CDUE, id)
  elseif newer(rec.v) then
    redis.call('ZADD', CDUE, seconds(now + patience), id)
  elseif rec.claim and tonumber(rec['until']) > now then
    redis.call('ZADD', CDUE, rec['until'], id)
  else
    -- first in, first out: its message waits as long as none is taken that was sent later
    local waits_in_queue = waiting and rec.state == 'open' and not rec.claim and tonumber(rec.queued or 0) > taken
    redis.call('ZADD', CDUE, seconds(now + (waits_in_queue and patience / 6 or patience)), id)
    -- one that is behind another is enqueued when that one has ended
    if not waits_in_queue and not behind(id, rec.order, tonumber(rec.place)) then
      enqueued(command_key(id))
      found[#found + 1] = id
      found[#found + 1] = rec.kind
      found[#found + 1] = rec.order
    end
  end
end
return found
