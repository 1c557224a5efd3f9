-- Which pages are looked at, every ten seconds, from a file that shoppers keep writing.
CREATE TABLE clicks (
  user_id BIGINT,
  page STRING,
  timestamp TIMESTAMP(3),
  WATERMARK FOR timestamp AS timestamp - INTERVAL '1' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = '${CLICKS}',
  'format' = 'json',
  'source.monitor-interval' = '200 ms'
);

SELECT page, COUNT(*) AS click_count FROM clicks
GROUP BY TUMBLE(timestamp, INTERVAL '10' SECOND), page;
