-- The queue's tables. Works on MySQL 8.0+ and MariaDB 10.6+; made by `headwater jobs init`.

-- Jobs that still matter: waiting, running, dead. Enqueue with a plain INSERT of job_type and payload.
CREATE TABLE IF NOT EXISTS jobs (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  queue VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'default',
  job_type VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  payload JSON NOT NULL,
  priority SMALLINT NOT NULL DEFAULT 0 COMMENT 'smaller first',
  status ENUM('PENDING', 'RUNNING', 'CANCELLING', 'WAITING', 'PARKED', 'DEAD') NOT NULL DEFAULT 'PENDING'
    COMMENT 'WAITING for other jobs (job_dependencies), PARKED by a limit of its key (job_limits)',
  run_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'not before',
  ready_from TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'written by the queue only',
  later TINYINT AS (IF(status = 'PENDING' AND run_at > ready_from, 1, 0)) VIRTUAL COMMENT 'not due yet: out of the way of claims',
  retry_count INT UNSIGNED NOT NULL DEFAULT 0,
  max_retries INT UNSIGNED NULL COMMENT 'NULL: as its type has it',
  last_error_message TEXT NULL,
  unique_key VARCHAR(190) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'at most one job with it; use INSERT IGNORE',
  limit_key VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL COMMENT 'whose limits it counts for, such as a customer',
  parked_key VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin AS (IF(status = 'PARKED', limit_key, NULL)) VIRTUAL,
  batch_id BIGINT UNSIGNED NULL,
  progress DECIMAL(5, 2) NULL COMMENT 'percent, as its handler tells',
  progress_message VARCHAR(255) NULL,
  traceparent CHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT 'W3C trace context of who enqueued it',
  locked_by BIGINT UNSIGNED NULL COMMENT 'fencing token: worker << 32 | its claim',
  started_at TIMESTAMP(6) NULL,
  created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id),
  UNIQUE KEY unique_key (unique_key),
  KEY claim (queue, status, later, priority, id),
  KEY due (later, run_at),
  KEY parked (parked_key, priority, id),
  KEY batch (batch_id)
) ENGINE = InnoDB;

-- Finished jobs of queues with history, and cancelled ones; a partition a day, dropped when it is old.
CREATE TABLE IF NOT EXISTS jobs_done (
  id BIGINT UNSIGNED NOT NULL,
  queue VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  job_type VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  payload JSON NOT NULL,
  priority SMALLINT NOT NULL,
  outcome ENUM('COMPLETED', 'CANCELLED') NOT NULL,
  retry_count INT UNSIGNED NOT NULL,
  batch_id BIGINT UNSIGNED NULL,
  traceparent CHAR(55) CHARACTER SET ascii COLLATE ascii_bin NULL,
  created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  started_at TIMESTAMP(6) NULL,
  finished_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  PRIMARY KEY (id, finished_at),
  KEY finished (finished_at)
) ENGINE = InnoDB
  PARTITION BY RANGE (FLOOR(UNIX_TIMESTAMP(finished_at))) (PARTITION pmax VALUES LESS THAN MAXVALUE);

-- What went wrong, try by try; a partition a day.
CREATE TABLE IF NOT EXISTS job_attempts (
  job_id BIGINT UNSIGNED NOT NULL,
  attempt INT UNSIGNED NOT NULL COMMENT 'from 1',
  worker_id BIGINT UNSIGNED NOT NULL,
  started_at TIMESTAMP(6) NULL,
  failed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  error_message TEXT NOT NULL,
  PRIMARY KEY (job_id, attempt, failed_at),
  KEY failed (failed_at)
) ENGINE = InnoDB
  PARTITION BY RANGE (FLOOR(UNIX_TIMESTAMP(failed_at))) (PARTITION pmax VALUES LESS THAN MAXVALUE);

-- Processes that work; all leases of a process are this one row.
CREATE TABLE IF NOT EXISTS job_workers (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(190) NOT NULL COMMENT 'host and process',
  state ENUM('ALIVE', 'STOPPING', 'LOST') NOT NULL DEFAULT 'ALIVE',
  started_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  seen_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  lease_until TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB;

-- What is different from the defaults about a queue.
CREATE TABLE IF NOT EXISTS job_queues (
  queue VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  paused TINYINT NOT NULL DEFAULT 0
) ENGINE = InnoDB;

-- Limits of a queue (limit_key '') or of every key in it ('*') or of one key in it.
CREATE TABLE IF NOT EXISTS job_limits (
  queue VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  limit_key VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  max_running INT UNSIGNED NULL COMMENT 'jobs at the same time',
  rate DOUBLE NULL COMMENT 'starts per second',
  burst INT UNSIGNED NOT NULL DEFAULT 1 COMMENT 'starts at once after a rest',
  tokens DOUBLE NULL COMMENT 'starts left at refilled_at; NULL: all of burst',
  refilled_at TIMESTAMP(6) NULL,
  PRIMARY KEY (queue, limit_key)
) ENGINE = InnoDB;

-- Jobs that come again and again.
CREATE TABLE IF NOT EXISTS job_schedules (
  name VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  cron VARCHAR(100) NOT NULL COMMENT 'five fields, or six with seconds first',
  time_zone VARCHAR(64) NOT NULL DEFAULT 'UTC' COMMENT 'IANA name',
  catch_up ENUM('NONE', 'ONE', 'ALL') NOT NULL DEFAULT 'ONE' COMMENT 'what becomes of times that were missed',
  queue VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'default',
  job_type VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  payload JSON NOT NULL,
  priority SMALLINT NOT NULL DEFAULT 0,
  enabled TINYINT NOT NULL DEFAULT 1,
  next_at TIMESTAMP(6) NULL COMMENT 'NULL: to be computed',
  last_at TIMESTAMP(6) NULL,
  last_error_message TEXT NULL,
  KEY next (enabled, next_at)
) ENGINE = InnoDB;

-- Jobs that belong together; a job of callback_type is enqueued once when no job of the batch is left.
CREATE TABLE IF NOT EXISTS job_batches (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(190) NOT NULL DEFAULT '',
  sealed TINYINT NOT NULL DEFAULT 1 COMMENT '0: more jobs will come, do not fire yet',
  callback_when ENUM('ALL_DONE', 'ALL_SUCCEEDED') NOT NULL DEFAULT 'ALL_DONE' COMMENT 'dead jobs hold back ALL_SUCCEEDED only',
  callback_queue VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'default',
  callback_type VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  callback_payload JSON NULL,
  created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  finished_at TIMESTAMP(6) NULL,
  KEY open (finished_at, id)
) ENGINE = InnoDB;

-- A job with status WAITING runs when every job it depends on is done.
CREATE TABLE IF NOT EXISTS job_dependencies (
  job_id BIGINT UNSIGNED NOT NULL,
  depends_on BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (job_id, depends_on),
  KEY depends_on (depends_on)
) ENGINE = InnoDB;
