-- One task takes one step of one order. ARGV: order id, step, token, lease, a paused scope that is tried nevertheless
-- Returns {'claimed', attempts, crashes, age, erp, told, at, news, redeliver (1/0), forgotten (1/0), says,
--          seconds since that was heard, occurrence} or {why not}:
--   'gone' (no record), 'newer', 'finished', 'elsewhere' (the order is at another step), 'busy', 'early', 'locked',
--   'alone' (it waits for another one whose worker died),
--   'paused' (its message is dropped; the step is due as soon as the sweeper may go on)
local id, step, token, lease = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = order_key(id)

local function paused(scope) return scope ~= ARGV[5] and redis.call('EXISTS', P .. 'paused:' .. scope) == 1 end
if paused('vtex') or (step == 'download' and paused('erp')) then
  redis.call('ZADD', DUE, 'XX', 0, id)
  return {'paused'}
end

local rec = read(key, 'v', 'state', 'step', 'claim', 'until', 'after', 'born', 'erp', 'told', 'at', 'news', 'redeliver', 'forgotten', 'attempts',
  'says', 'heard', 'occurrence')

if not rec.state then return {'gone'} end
if newer(rec) then return {'newer'} end
if rec.state ~= 'open' and rec.state ~= 'parked' then return {'finished'} end
if rec.step ~= step then return {'elsewhere'} end

local attempts, crashes, perhaps = tonumber(rec.attempts or 0), crashes_of(key)
if rec.claim ~= token then
  if rec.claim and tonumber(rec['until']) > now then return {'busy'} end
  if tonumber(rec.after or 0) > now + 0.25 then return {'early'} end
  if rec.claim then
    ran_out(key, step, rec.claim)
    release_alone(rec.claim)
    redis.call('HDEL', key, 'claim', 'until')
    crashes, perhaps = crashes_of(key)
  end
  if crashes + perhaps >= ALONE_FROM and not take_alone(token, lease) then
    redis.call('ZADD', QUEUE_ALONE, 'NX', seconds(now), id)
    redis.call('ZADD', DUE, seconds(now + lease), id)
    return {'alone'}
  end
  if step == 'start-handling' and not take_order(id, token, lease) then -- a command writes to it just now
    release_alone(token)
    redis.call('ZADD', DUE, seconds(now + 2), id)
    return {'locked'}
  end
  attempts = redis.call('HINCRBY', key, 'attempts', 1) -- counted before the work
end
redis.call('HSET', key, 'claim', token, 'until', seconds(now + lease))
redis.call('HDEL', key, 'after')
redis.call('ZADD', DUE, seconds(now + lease), id)
move_state(key, rec.state, 'open')
return {'claimed', attempts, crashes, seconds(now - tonumber(rec.born)), rec.erp or '', rec.told or '', rec.at or '', rec.news or '',
  rec.redeliver and 1 or 0, rec.forgotten and 1 or 0, rec.says or '', seconds(now - tonumber(rec.heard or now)), rec.occurrence or ''}
