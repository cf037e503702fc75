-- What should be looked at by now. ARGV: how many at most, patience, do the queues still hold it all (1/0)
-- In a pause nothing is: its message would be dropped, and it would be due again at once.
-- Returns {how many were looked at, order id, step, order id, step ...}: each must be enqueued again.
local limit, patience, backlog = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
if redis.call('EXISTS', P .. 'paused:vtex') == 1 then return {0} end
local paused = redis.call('EXISTS', P .. 'paused:erp') == 1 and 'download'
local ids = redis.call('ZRANGEBYSCORE', DUE, '-inf', seconds(now), 'LIMIT', 0, limit)
local found = {#ids}
for _, id in ipairs(ids) do
  local key = order_key(id)
  local rec = read(key, 'v', 'state', 'step', 'claim', 'until')
  if not rec.state or newer(rec.v) then
    if not rec.state then redis.call('ZREM', DUE, id) else redis.call('ZADD', DUE, seconds(now + patience), id) end
  elseif rec.claim and tonumber(rec['until']) > now then
    redis.call('ZADD', DUE, rec['until'], id)
  elseif rec.step == paused then
    redis.call('ZADD', DUE, seconds(now + 1), id) -- ready for the end of the pause, and in nobody's way until then
  else
    local waits_in_queue = rec.state == 'open' and not rec.claim and backlog
    -- what only seems to wait in a queue is looked at again soon: the queue may have died with its worker
    redis.call('ZADD', DUE, seconds(now + (waits_in_queue and patience / 6 or patience)), id)
    if rec.step ~= 'ack' and not waits_in_queue then
      found[#found + 1] = id
      found[#found + 1] = rec.step
      if rec.state == 'open' and not rec.claim then -- a claim that ran out has its own word for it
        count('healed')
        note(key, 'swept', rec.step)
      end
    end
  end
end
return found
