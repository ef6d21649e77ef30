-- Walks the frames of one series after the other, as a viewer does; prints what happened as one line of JSON.
-- arguments: frame size in KiB, series, frames of each. The token comes by the environment, so that no `ps` shows it.
local size, series, frames
local position = 0
local head

function init(arguments)
  size, series, frames = arguments[1], tonumber(arguments[2]), tonumber(arguments[3])
  head = " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nAuthorization: Bearer " .. os.getenv("TOKEN") ..
    "\r\nAccept: multipart/related; type=\"application/octet-stream\"; transfer-syntax=*\r\n\r\n"
  -- Each round starts at another series, so that none finds the first uses of the last one remembered.
  position = tonumber(os.getenv("FIRST_SERIES")) * frames
end

function request()
  local number = math.floor(position / frames) % series + 1
  local frame = position % frames + 1
  position = position + 1
  local study = "1.2." .. size .. "." .. number
  return "GET /api/studies/" .. study .. "/series/" .. study .. ".1/instances/" .. study .. ".1.1/frames/" ..
    frame .. head
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "bytes": %d, "seconds": %.6f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
