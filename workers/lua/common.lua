-- Words that the moves of the ledgers share. Before each script stand this first paragraph and what it uses of the rest.
-- KEYS[1] is the prefix of one account's keys. Times are Redis' own, in seconds.
local P = KEYS[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000

local VERSION = 1
local function order_key(id) return P .. 'o:' .. id end
local function handles_key(id) return P .. 'h:' .. id end
local DUE = P .. 'due'
local ACKS = P .. 'acks'
local COUNTS = P .. 'counts'
local STATS = P .. 'stats'
local DEAD = P .. 'dead'
local DELIVERED = P .. 'delivered' -- when the ERP got which order
local WATCH = P .. 'watch' -- what the ERP has and VTEX has not ended: see watchlist.py
local STUCK = P .. 'stuck'

-- Commands: what an ERP asks for. Their index, totals and ends; what the ERP is still to be told.
local CDUE = P .. 'cdue'
local CCOUNTS = P .. 'ccounts'
local CDEAD = P .. 'cdead'
local CTELL = P .. 'ctell'
local function command_key(id) return P .. 'c:' .. id end
local function queue_key(order) return P .. 'cq:' .. order end -- the unfinished ones of an order, by arrival
local CTAKEN = P .. 'ctaken' -- when the newest message was sent of those that a worker has taken
local TELLING = P .. 'telling' -- somebody tells the ERP of what ended, or a message is sent that somebody shall
local function commands_key(order) return P .. 'co:' .. order end -- all of an order

local function seconds(value) return string.format('%.3f', value) end

local function read(key, ...)
  local values, names, record = redis.call('HMGET', key, ...), {...}, {}
  for i = 1, #names do record[names[i]] = values[i] end
  return record
end

local function count(name, n) redis.call('HINCRBY', STATS, name, n or 1) end

-- Records change their state: the totals move with them, in the same step.
local function move_totals(totals, from, to, n)
  if from then redis.call('HINCRBY', totals, from, -n) end
  redis.call('HINCRBY', totals, to, n)
end
local function move_state(key, from, to, totals)
  if from == to then return end
  move_totals(totals or COUNTS, from, to, 1)
  redis.call('HSET', key, 'state', to)
end

-- The timeline: lines of "seconds|code|detail". The beginning and the newest lines are kept.
local function noted(log, code, detail, room)
  log = (log or '') .. string.format('%.1f|%s|%s\n', now, code, detail or '')
  room = room or 1000 -- a hash with a longer value would cost the embedded server twice the memory, for good
  if #log > room then
    local first = string.find(log, '\n', 1, true)
    local tail = string.sub(log, -(room - first))
    log = string.sub(log, 1, first) .. string.sub(tail, (string.find(tail, '\n', 1, true) or 0) + 1)
  end
  return log
end
local function note(key, ...) redis.call('HSET', key, 'log', noted(redis.call('HGET', key, 'log'), ...)) end

local function newer(v) return v and tonumber(v) > VERSION end

-- A token begins with the process that took it.
local function process_of(token) return string.match(token, '^(%S+) ') end
local WORKER, BEATS = 'vo:_:worker:', 'vo:_:beats:' -- as in keys.py
local function lives(who) return redis.call('EXISTS', WORKER .. who) == 1 end
local function beats_of(who) return redis.call('GET', BEATS .. who) or '0' end

-- Seconds after which a process that was only cut off from Redis has said that it lives.
local SILENCE = 25

-- A claim ran out. Its process is slow, or gone, or was cut off from Redis: it counts as a crash of this record at
-- once if nobody can tell, otherwise at a later claim, if the process has not come back by then.
local function ran_out(key, step, token)
  local who = process_of(token)
  if who and lives(who) then
    count('stalls')
    return note(key, 'stall', step)
  end
  count('crashes')
  note(key, 'crash', step)
  if who then
    redis.call('HSET', key, 'suspect', who, 'suspected', seconds(now), 'beats', beats_of(who))
  else
    redis.call('HINCRBY', key, 'crashes', 1)
  end
end

-- How often this record's worker died, and how often that may be so.
local function crashes_of(key)
  local rec = read(key, 'crashes', 'suspect', 'suspected', 'beats')
  local crashes = tonumber(rec.crashes or 0)
  if not rec.suspect then return crashes, 0 end
  if not lives(rec.suspect) and beats_of(rec.suspect) == rec.beats then -- nothing was heard of it
    if now - tonumber(rec.suspected) < SILENCE then return crashes, 1 end
    crashes = redis.call('HINCRBY', key, 'crashes', 1)
  end
  redis.call('HDEL', key, 'suspect', 'suspected', 'beats')
  return crashes, 0
end

-- A right that one token at a time holds, for the length of a lease.
local function take(key, token, lease)
  local length = math.ceil(lease * 1000)
  if redis.call('SET', key, token, 'NX', 'PX', length) then return true end
  if redis.call('GET', key) ~= token then return false end
  redis.call('SET', key, token, 'PX', length)
  return true
end
local function renew(key, token, lease)
  return redis.call('GET', key) == token and redis.call('PEXPIRE', key, math.ceil(lease * 1000)) == 1
end
local function leave(key, token)
  if redis.call('GET', key) == token then redis.call('DEL', key) end
end

-- Records whose worker died more than once are worked at one at a time, so that one of them that is the cause takes
-- none of the others with it.
local ALONE = P .. 'alone'
local ALONE_FROM = 2
local QUEUE_ALONE = P .. 'alone:waiting'
local function take_alone(token, lease) return take(ALONE, token, lease) end
local function renew_alone(token, lease) return renew(ALONE, token, lease) end
local function release_alone(token) leave(ALONE, token) end

-- Is an event of that instant already in the document that we acted on? Both instants are VTEX's.
local function covers(document_at, event_at)
  return document_at and document_at ~= '' and event_at ~= '' and event_at <= document_at
end

-- The handles of an order may be committed from now on. Returns how many commits more the order waits for: the caller
-- adds them to its `pending`.
local function release_handles(id, extra)
  local handles, added = redis.call('SPOP', handles_key(id), 1000000), 0 -- all of them
  if extra then handles[#handles + 1] = extra end
  for _, handle in ipairs(handles) do
    added = added + redis.call('ZADD', ACKS, 'NX', seconds(now), id .. ' ' .. handle)
  end
  return added
end

-- Orders need nothing any more: a small tombstone of each stays, so that a repeat is known as one.
local function entomb(key, ttl, ...)
  redis.call('HDEL', key, 'claim', 'until', 'after', 'again', 'attempts', 'crashes', 'step', 'says', 'heard', ...)
  redis.call('EXPIRE', key, ttl)
end
local function finished(ids)
  redis.call('ZREM', DUE, unpack(ids))
  local bucket = P .. 'rate:' .. math.floor(now / 10)
  if redis.call('INCRBY', bucket, #ids) == #ids then redis.call('EXPIRE', bucket, 120) end
end

-- Writes to one order at VTEX never overlap: start-handling and commands share one lease an order.
local function take_order(order, token, lease) return take(P .. 'w:' .. order, token, lease) end
local function renew_order(order, token, lease) return renew(P .. 'w:' .. order, token, lease) end
local function release_order(order, token) leave(P .. 'w:' .. order, token) end

-- When a command ends. No two ends of an account are at one instant: the ERP tells them apart by it.
local function instant_of_end()
  local at = math.max(now, tonumber(redis.call('GET', P .. 'cend') or 0) + 0.001)
  redis.call('SET', P .. 'cend', seconds(at))
  return seconds(at)
end

-- A message for the command is sent now.
local function enqueued(key) redis.call('HSET', key, 'queued', seconds(now)) end

-- The command that may go now for an order: the first that does not wait, or whose wait is over. The caller sends
-- the message.
local function next_command(order)
  for _, id in ipairs(redis.call('ZRANGE', queue_key(order), 0, -1)) do
    local rec = read(command_key(id), 'waits', 'after', 'claim')
    local ready = not rec.claim and tonumber(rec.after or 0) <= now
    if ready then
      enqueued(command_key(id))
      return id
    end
    if rec.waits ~= '1' then return '' end
  end
  return ''
end

-- The command of its order that must go before this one, if there is one. An earlier one that only waits for the
-- order to be ready lets others pass; one that overtook this one, and of which VTEX's answer is not known, must be
-- made sure of first.
local function behind(id, order, place)
  local queue = redis.call('ZRANGE', queue_key(order), 0, -1, 'WITHSCORES')
  for i = 1, #queue, 2 do
    local other, its_place = queue[i], tonumber(queue[i + 1])
    local first = read(command_key(other), 'waits', 'sent')
    if (its_place < place and first.waits ~= '1') or (its_place > place and first.sent) then return other end
  end
end

-- An unfinished command joins its order's.
local function line_up(id, order, place)
  redis.call('ZADD', queue_key(order), place, id)
  redis.call('ZADD', commands_key(order), place, id)
  redis.call('PERSIST', commands_key(order))
end

-- The pace of a whole account (GCRA): reserve the next slot, unless it is too far away. From ARGV[first] on stand: the
-- seconds between two calls, the burst (calls), the longest wait that is worth holding a worker for, the longest time after
-- which to come back.
-- Returns {1, wait} reserved: call after that many seconds; {0, wait} not reserved: come back then.
local function reserve(first)
  local interval, burst = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  local longest, farthest = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local cool = tonumber(redis.call('HGET', P .. 'cool', 'until') or 0)
  if cool > now then return {0, seconds(cool - now)} end
  local slot = math.max(tonumber(redis.call('GET', P .. 'pace') or 0), now - (burst - 1) * interval)
  local wait = slot - now
  if wait > longest then
    -- Who must come back comes in turn and not all at once. A little closer than the slots are, as each adds its jitter.
    local turn = math.max(tonumber(redis.call('GET', P .. 'turn') or 0) + 0.8 * interval, slot)
    if turn - now > farthest then turn = slot end
    redis.call('SET', P .. 'turn', string.format('%.6f', turn), 'PX', math.ceil((turn - now) * 1000) + 1000)
    return {0, seconds(turn - now)}
  end
  redis.call('SET', P .. 'pace', string.format('%.6f', slot + interval), 'PX', math.ceil((math.max(wait, 0) + interval) * 1000) + 1000)
  return {1, wait > 0 and seconds(wait) or '0'}
end

-- One task takes one step of one order; `trial` is a paused scope that is tried nevertheless, and the pace stands in ARGV
-- from `pace` on, or not at all. What it returns: see claim.lua.
local function claim_step(id, step, token, lease, trial, pace)
  local key = order_key(id)

  local pauses = {}
  if trial ~= 'vtex' then pauses[1] = P .. 'paused:vtex' end
  if trial ~= 'erp' and step == 'download' then pauses[#pauses + 1] = P .. 'paused:erp' end
  if #pauses > 0 and redis.call('EXISTS', unpack(pauses)) > 0 then
    redis.call('ZADD', DUE, 'XX', 0, id)
    return {'paused'}
  end

  local v, state, at_step, claim, until_, after, born, attempts, crashed, suspect, erp, told, at, news, redeliver, forgotten, says,
    heard, occurrence = unpack(redis.call('HMGET', key, 'v', 'state', 'step', 'claim', 'until', 'after', 'born', 'attempts', 'crashes',
    'suspect', 'erp', 'told', 'at', 'news', 'redeliver', 'forgotten', 'says', 'heard', 'occurrence'))

  if not state then return {'gone'} end
  if newer(v) then return {'newer'} end
  if state ~= 'open' and state ~= 'parked' then return {'finished'} end
  if at_step ~= step then return {'elsewhere'} end

  local ends, crashes, perhaps = seconds(now + lease), tonumber(crashed or 0), 0
  attempts = tonumber(attempts or 0)
  if suspect then crashes, perhaps = crashes_of(key) end
  if claim ~= token then
    if claim and tonumber(until_) > now then return {'busy'} end
    if after and tonumber(after) > now + 0.25 then return {'early'} end
    if claim then
      ran_out(key, step, claim)
      release_alone(claim)
      redis.call('HDEL', key, 'claim', 'until')
      crashes, perhaps = crashes_of(key)
    end
    if crashes + perhaps >= ALONE_FROM and not take_alone(token, lease) then
      redis.call('ZADD', QUEUE_ALONE, 'NX', seconds(now), id)
      redis.call('ZADD', DUE, ends, id)
      return {'alone'}
    end
    if step == 'start-handling' and not take_order(id, token, lease) then -- a command writes to it just now
      release_alone(token)
      redis.call('ZADD', DUE, seconds(now + 2), id)
      return {'locked'}
    end
    attempts = attempts + 1 -- counted before the work
  end
  redis.call('HSET', key, 'claim', token, 'until', ends, 'attempts', attempts)
  if after then redis.call('HDEL', key, 'after') end
  redis.call('ZADD', DUE, ends, id)
  move_state(key, state, 'open')
  return {'claimed', attempts, crashes, seconds(now - tonumber(born)), erp or '', told or '', at or '', news or '', redeliver and 1 or 0,
    forgotten and 1 or 0, says or '', heard and seconds(now - tonumber(heard)) or '0', occurrence or '', pace and reserve(pace) or {}}
end

-- One task takes one command; `own_message`: by the message that was sent for it; `pace`: where in ARGV that begins, or nil.
-- What it returns: see command_claim.lua.
local function claim_command(id, token, lease, own_message, pace)
  local key = command_key(id)
  if redis.call('EXISTS', P .. 'paused:vtex') == 1 then -- its message is dropped: it is due as soon as the pause ends
    redis.call('ZADD', CDUE, 'XX', 0, id)
    redis.call('HDEL', key, 'queued')
    return {'paused'}
  end
  local rec = read(key, 'v', 'state', 'kind', 'order', 'claim', 'until', 'after', 'born', 'attempts', 'sent', 'memo',
    'place', 'queued', 'payload', 'waits', 'crashes', 'suspect')
  if not rec.state then return {'gone'} end
  if own_message and rec.queued and tonumber(rec.queued) > tonumber(redis.call('GET', CTAKEN) or 0) then
    redis.call('SET', CTAKEN, rec.queued)
  end
  if newer(rec.v) then return {'newer'} end
  if rec.state ~= 'open' and rec.state ~= 'parked' then return {'finished'} end
  local attempts, crashes, perhaps = tonumber(rec.attempts or 0), tonumber(rec.crashes or 0), 0
  if rec.suspect then crashes, perhaps = crashes_of(key) end
  if rec.claim ~= token then
    if rec.claim and tonumber(rec['until']) > now then return {'busy'} end
    if tonumber(rec.after or 0) > now + 0.25 then return {'early'} end
    local other = behind(id, rec.order, tonumber(rec.place))
    if other then
      redis.call('ZADD', CDUE, seconds(now + lease), id)
      return {'behind', other}
    end
    if rec.claim then
      ran_out(key, rec.kind, rec.claim)
      release_alone(rec.claim)
      redis.call('HDEL', key, 'claim', 'until')
      crashes, perhaps = crashes_of(key)
    end
    if crashes + perhaps >= ALONE_FROM and not take_alone(token, lease) then
      redis.call('ZADD', CDUE, seconds(now + 5), id)
      return {'alone'}
    end
    if not take_order(rec.order, token, lease) then
      release_alone(token)
      redis.call('ZADD', CDUE, seconds(now + 2), id)
      return {'locked'}
    end
    attempts = attempts + 1
  end
  redis.call('HSET', key, 'claim', token, 'until', seconds(now + lease), 'attempts', attempts)
  if rec.after or rec.waits then redis.call('HDEL', key, 'after', 'waits') end
  redis.call('ZADD', CDUE, seconds(now + lease), id)
  move_state(key, rec.state, 'open', CCOUNTS)
  return {'claimed', rec.kind, rec.order, rec.payload, attempts, crashes, seconds(now - tonumber(rec.born)),
    rec.sent and 1 or 0, rec.memo or '{}', seconds(now), redis.call('GET', P .. 'began') or seconds(now),
    redis.call('ZCARD', commands_key(rec.order)), pace and reserve(pace) or {}}
end
