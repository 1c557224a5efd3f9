-- A sign-up that enqueues in its own transaction. Before it: headwater jobs init.
CREATE TABLE IF NOT EXISTS users (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, email VARCHAR(190) NOT NULL UNIQUE);

START TRANSACTION;
INSERT INTO users (email) VALUES (CONCAT('user', FLOOR(RAND() * 1000000000), '@example.com'));
SET @user_id = LAST_INSERT_ID();
-- At once, and behind what is more urgent (smaller numbers).
INSERT INTO jobs (job_type, payload, priority) VALUES ('SEND_WELCOME_EMAIL', JSON_OBJECT('user_id', @user_id), 100);
-- Tomorrow, at most once for this user.
INSERT IGNORE INTO jobs (queue, job_type, payload, run_at, unique_key)
VALUES ('marketing', 'SEND_COUPON', JSON_OBJECT('user_id', @user_id), NOW(6) + INTERVAL 1 DAY, CONCAT('coupon:', @user_id));
-- After the mail.
SELECT MAX(id) INTO @mail FROM jobs WHERE job_type = 'SEND_WELCOME_EMAIL' AND payload->>'$.user_id' = @user_id;
COMMIT;
