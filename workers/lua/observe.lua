-- A feed event (or a reconciliation) says: look at this order.
-- ARGV: order id, handle ('' = none), event id, hint (the event's state), the event's instant,
--       what the hint means ('cancels', 'handled' or ''), patience
-- Returns 'new' or 'again' (somebody must enqueue it), 'known' (in progress), 'finished' (only the commit is left),
--         'newer' (a newer version of this program owns the record; the event comes back by itself)
local id, handle, event, hint, at, means = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local patience = tonumber(ARGV[7])
local key = order_key(id)
local rec = read(key, 'v', 'state', 'step', 'seen', 'at', 'news', 'erp', 'told', 'claim', 'again', 'ours')
local seen_at = seconds(now)
count('events')
redis.call('SET', P .. 'began', seen_at, 'NX') -- what was before, this ledger cannot know

if newer(rec.v) then return 'newer' end
-- what the newest event said, and when we heard it: a document must show at least that
local news = at > (rec.news or '') and {'news', at, 'says', hint, 'heard', seen_at} or {}

if not rec.state then
  move_totals(COUNTS, nil, 'open', 1)
  redis.call('HSET', key, 'v', VERSION, 'state', 'open', 'step', 'download', 'born', seen_at, 'seen', event,
    'log', noted('', 'seen', hint), unpack(news))
  if handle ~= '' then redis.call('SADD', handles_key(id), handle) end
  redis.call('ZADD', DUE, seconds(now + patience), id)
  return 'new'
end

if news[1] then redis.call('HSET', key, unpack(news)) end

local repeated = event ~= '' and string.find(',' .. (rec.seen or '') .. ',', ',' .. event .. ',', 1, true)
if not repeated and event ~= '' then
  local seen = event .. ',' .. (rec.seen or '')
  redis.call('HSET', key, 'seen', string.sub(seen, 1, 160))
end

-- an event of our own start-handling, say: nothing would follow from a look
local stale = repeated or covers(rec.at, at) or (means == 'handled' and rec.told == 'order.ready')

local working = (rec.state == 'open' or rec.state == 'parked') and rec.step ~= 'ack'
if working then
  if handle ~= '' then
    -- of an order that fails for long, only what is news waits for the next look
    if rec.ours and stale then
      redis.call('HINCRBY', key, 'pending', release_handles(id, handle))
    else
      redis.call('SADD', handles_key(id), handle)
    end
  end
  local looked = rec.step ~= 'download' or rec.claim
  if looked and not stale then
    -- what we work with may be older than this event: look once more at the end
    local again = rec.again or ''
    if at == '' then again = '~' elseif at > again then again = at end
    redis.call('HSET', key, 'again', again)
    if means == 'cancels' then redis.call('HSET', key, 'cancels', 1) end
    note(key, 'news', hint)
  elseif rec.state == 'parked' and not stale then
    -- what it waited for may have happened: look now
    redis.call('HDEL', key, 'after')
    redis.call('ZADD', DUE, seconds(now), id)
    note(key, 'news', hint)
  else
    count('duplicates')
  end
  return 'known'
end

if rec.state == 'dead' then stale = stale or means ~= 'cancels' or not rec.erp end
if stale then
  count('duplicates')
  if handle ~= '' then redis.call('HINCRBY', key, 'pending', release_handles(id, handle)) end
  return 'finished'
end

redis.call('PERSIST', key)
redis.call('ZREM', DEAD, id)
move_state(key, rec.state, 'open')
redis.call('HSET', key, 'step', 'download', 'born', seconds(now), 'attempts', 0, 'crashes', 0)
redis.call('HDEL', key, 'claim', 'until', 'after', 'again', 'suspect', 'suspected', 'beats')
if handle ~= '' then redis.call('SADD', handles_key(id), handle) end
redis.call('ZADD', DUE, seconds(now + patience), id)
note(key, 'news', hint)
return 'again'
