-- The Aurora MySQL stand-in for MySQL 8.0.23+, 8.4 and 9.x: applied as root, statement by statement.
-- A line that is nothing but $$ ends a statement.
--
-- Same names and argument lists as Aurora MySQL 3 and 8.4. The definer is a locked account, so
-- callers need nothing but EXECUTE. Every procedure that writes restores the session's sql_log_bin
-- and forgets the replication password also when it fails.
--
-- Really denied to `admin`: FLUSH TABLES WITH READ LOCK (no RELOAD, no FLUSH_TABLES: it has the
-- FLUSH_* of its own), LOCK INSTANCE FOR BACKUP, SET GLOBAL, sql_log_bin, gtid_next, BINLOG, FILE,
-- START/STOP/CHANGE of replication, writing to the schema `mysql`, MyISAM.
-- Harsher than Aurora: no RELOAD at all (Aurora grants it and refuses FTWRL itself), so FLUSH TABLES
-- and FLUSH LOGS are refused as well; partial_revokes=ON makes `_` and `%` in schema-level GRANTs literal.
-- Kinder than Aurora: plain-text connections are taken, rds_set_configuration with NULL purges nothing,
-- a source without TLS is asked for its public key (Aurora wants TLS or mysql_native_password there),
-- and `admin` can read the replication password in mysql.slave_master_info as any reader of `mysql` can.
SET SESSION sql_log_bin = 0
$$
CREATE USER IF NOT EXISTS 'rdsadmin'@'localhost' IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK
$$
CREATE TABLE IF NOT EXISTS mysql.rds_history (
  action_timestamp TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6), called_by_user VARCHAR(352), action VARCHAR(64),
  master_host VARCHAR(255), master_port INT, master_user VARCHAR(96), master_log_file VARCHAR(512),
  master_log_pos BIGINT UNSIGNED, auto_position TINYINT) ENGINE=InnoDB
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_external_source(
  IN host VARCHAR(255), IN port INT, IN user TEXT, IN passwd TEXT, IN log_file TEXT, IN log_pos BIGINT, IN ssl_encryption TINYINT)
  SQL SECURITY DEFINER
BEGIN
  DECLARE old_log_bin TINYINT DEFAULT @@SESSION.sql_log_bin;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    SET @rds_cmd = NULL;
    -- A statement that failed to run is still prepared, and its text holds the password.
    PREPARE rds_st FROM 'DO 0';
    DEALLOCATE PREPARE rds_st;
    SET SESSION sql_log_bin = old_log_bin;
    RESIGNAL;
  END;
  SET SESSION sql_log_bin = 0;
  SET @rds_cmd = CONCAT('CHANGE REPLICATION SOURCE TO SOURCE_HOST=', QUOTE(TRIM(host)), ', SOURCE_PORT=', port,
    ', SOURCE_USER=', QUOTE(user), ', SOURCE_PASSWORD=', QUOTE(passwd),
    ', SOURCE_AUTO_POSITION=0, SOURCE_LOG_FILE=', QUOTE(log_file), ', SOURCE_LOG_POS=', log_pos,
    ', SOURCE_SSL=', IF(ssl_encryption = 1, 1, 0), IF(ssl_encryption = 1, '', ', GET_SOURCE_PUBLIC_KEY=1'));
  PREPARE rds_st FROM @rds_cmd;
  SET @rds_cmd = NULL;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  INSERT INTO mysql.rds_history(called_by_user, action, master_host, master_port, master_user, master_log_file, master_log_pos, auto_position)
    VALUES (USER(), 'set master', host, port, user, log_file, log_pos, 0);
  COMMIT;
  SET SESSION sql_log_bin = old_log_bin;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_external_source_with_auto_position(
  IN host VARCHAR(255), IN port INT, IN user TEXT, IN passwd TEXT, IN ssl_encryption TINYINT)
  SQL SECURITY DEFINER
BEGIN
  DECLARE old_log_bin TINYINT DEFAULT @@SESSION.sql_log_bin;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    SET @rds_cmd = NULL;
    PREPARE rds_st FROM 'DO 0';
    DEALLOCATE PREPARE rds_st;
    SET SESSION sql_log_bin = old_log_bin;
    RESIGNAL;
  END;
  IF @@GLOBAL.gtid_mode <> 'ON' THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'GTID_MODE must be ON to use auto position';
  END IF;
  SET SESSION sql_log_bin = 0;
  SET @rds_cmd = CONCAT('CHANGE REPLICATION SOURCE TO SOURCE_HOST=', QUOTE(TRIM(host)), ', SOURCE_PORT=', port,
    ', SOURCE_USER=', QUOTE(user), ', SOURCE_PASSWORD=', QUOTE(passwd),
    ', SOURCE_AUTO_POSITION=1, SOURCE_SSL=', IF(ssl_encryption = 1, 1, 0), IF(ssl_encryption = 1, '', ', GET_SOURCE_PUBLIC_KEY=1'));
  PREPARE rds_st FROM @rds_cmd;
  SET @rds_cmd = NULL;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  INSERT INTO mysql.rds_history(called_by_user, action, master_host, master_port, master_user, auto_position)
    VALUES (USER(), 'set master', host, port, user, 1);
  COMMIT;
  SET SESSION sql_log_bin = old_log_bin;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_start_replication() SQL SECURITY DEFINER
BEGIN
  DECLARE polls INT DEFAULT 0;
  DECLARE running BOOL DEFAULT FALSE;
  PREPARE rds_st FROM 'START REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  -- Up to a second, as long as Aurora waits; no longer than it takes.
  WHILE polls < 50 AND NOT running DO
    SELECT EXISTS (SELECT 1 FROM performance_schema.replication_applier_status WHERE CHANNEL_NAME='' AND SERVICE_STATE='ON')
       AND EXISTS (SELECT 1 FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME='' AND SERVICE_STATE='ON')
      INTO running;
    IF NOT running THEN DO SLEEP(0.02); END IF;
    SET polls = polls + 1;
  END WHILE;
  IF running THEN
    SELECT 'Replica running normally.' AS Message;
  ELSE
    SELECT 'Replica has encountered an error. Run SHOW REPLICA STATUS\\G; to see the error.' AS Message;
  END IF;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_start_replication_until(
  IN replication_log_file TEXT, IN replication_stop_point BIGINT) SQL SECURITY DEFINER
BEGIN
  SET @rds_cmd = CONCAT('START REPLICA UNTIL SOURCE_LOG_FILE=', QUOTE(replication_log_file), ', SOURCE_LOG_POS=', replication_stop_point);
  PREPARE rds_st FROM @rds_cmd;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT CONCAT('Replication started until ', replication_log_file, ':', replication_stop_point) AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_start_replication_until_gtid(IN gtid TEXT) SQL SECURITY DEFINER
BEGIN
  SET @rds_cmd = CONCAT('START REPLICA UNTIL SQL_AFTER_GTIDS=', QUOTE(gtid));
  PREPARE rds_st FROM @rds_cmd;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT CONCAT('Replication started until SQL_AFTER_GTIDS=', gtid) AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_stop_replication() SQL SECURITY DEFINER
BEGIN
  PREPARE rds_st FROM 'STOP REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT 'Slave is down or disabled' AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_reset_external_source() SQL SECURITY DEFINER
BEGIN
  DECLARE old_log_bin TINYINT DEFAULT @@SESSION.sql_log_bin;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    SET SESSION sql_log_bin = old_log_bin;
    RESIGNAL;
  END;
  PREPARE rds_st FROM 'STOP REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM 'RESET REPLICA ALL';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SET SESSION sql_log_bin = 0;
  INSERT INTO mysql.rds_history(called_by_user, action) VALUES (USER(), 'reset slave');
  COMMIT;
  SET SESSION sql_log_bin = old_log_bin;
  SELECT 'Slave has been reset' AS message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_next_source_log(IN curr_source_log INT) SQL SECURITY DEFINER
BEGIN
  -- On Aurora only after the source lost a file (I/O error 1236): goes on at the start of the next one.
  DECLARE next_log TEXT;
  SELECT CONCAT(SUBSTRING_INDEX(Master_log_name, '.', 1), '.', LPAD(curr_source_log + 1, 6, '0')) INTO next_log
    FROM mysql.slave_master_info WHERE Channel_name = '';
  SET @rds_cmd = CONCAT('CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE=', QUOTE(next_log), ', SOURCE_LOG_POS=4');
  PREPARE rds_st FROM 'STOP REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM @rds_cmd;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM 'START REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT CONCAT('Source log file is now ', next_log) AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_skip_repl_error() SQL SECURITY DEFINER
BEGIN
  DECLARE g VARCHAR(200) DEFAULT NULL;
  DECLARE n INT DEFAULT 0;
  SELECT COUNT(*) INTO n FROM performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER <> 0;
  IF n = 0 THEN
    SELECT 'Slave is running normally. No errors detected to skip.' AS Message;
  ELSEIF @@GLOBAL.gtid_mode = 'ON' THEN
    SELECT APPLYING_TRANSACTION INTO g FROM performance_schema.replication_applier_status_by_worker
      WHERE LAST_ERROR_NUMBER <> 0 ORDER BY WORKER_ID LIMIT 1;
    IF g IS NULL OR g = '' OR g = 'ANONYMOUS' THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'cannot determine the failing GTID';
    END IF;
    PREPARE rds_st FROM 'STOP REPLICA';
    EXECUTE rds_st;
    DEALLOCATE PREPARE rds_st;
    SET SESSION gtid_next = g;
    START TRANSACTION;
    COMMIT;
    SET SESSION gtid_next = 'AUTOMATIC';
    PREPARE rds_st FROM 'START REPLICA';
    EXECUTE rds_st;
    DEALLOCATE PREPARE rds_st;
    SELECT CONCAT('Skipped ', g) AS Message;
  ELSE
    PREPARE rds_st FROM 'STOP REPLICA';
    EXECUTE rds_st;
    DEALLOCATE PREPARE rds_st;
    SET GLOBAL sql_replica_skip_counter = 1;
    PREPARE rds_st FROM 'START REPLICA';
    EXECUTE rds_st;
    DEALLOCATE PREPARE rds_st;
    SELECT 'Statement in error has been skipped.' AS Message;
  END IF;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_skip_transaction_with_gtid(IN gtid_to_skip VARCHAR(200)) SQL SECURITY DEFINER
BEGIN
  PREPARE rds_st FROM 'STOP REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SET SESSION gtid_next = gtid_to_skip;
  START TRANSACTION;
  COMMIT;
  SET SESSION gtid_next = 'AUTOMATIC';
  PREPARE rds_st FROM 'START REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT CONCAT('Transaction ', gtid_to_skip, ' has been skipped successfully.') AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_source_auto_position(IN auto_position_mode TINYINT) SQL SECURITY DEFINER
BEGIN
  SET @rds_cmd = CONCAT('CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=', IF(auto_position_mode = 1, 1, 0));
  PREPARE rds_st FROM 'STOP REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM @rds_cmd;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM 'START REPLICA';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT CONCAT('Master Auto Position has been set to ', IF(auto_position_mode = 1, 1, 0), '.') AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_binlog_source_ssl(IN ssl_mode TINYINT) SQL SECURITY DEFINER
BEGIN
  SET @rds_cmd = CONCAT('CHANGE REPLICATION SOURCE TO SOURCE_SSL=', IF(ssl_mode = 1, 1, 0));
  PREPARE rds_st FROM @rds_cmd;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT CONCAT('Source SSL has been set to ', IF(ssl_mode = 1, 1, 0), '.') AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_gtid_purged(IN gtid_set LONGTEXT) SQL SECURITY DEFINER
BEGIN
  SET GLOBAL gtid_purged = gtid_set;
  SELECT @@GLOBAL.gtid_purged AS gtid_purged;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_assign_gtids_to_anonymous_transactions(IN gtid_option VARCHAR(100)) SQL SECURITY DEFINER
BEGIN
  SET @rds_cmd = CONCAT('CHANGE REPLICATION SOURCE TO ASSIGN_GTIDS_TO_ANONYMOUS_TRANSACTIONS=',
     IF(UPPER(gtid_option) IN ('OFF', 'LOCAL'), UPPER(gtid_option), QUOTE(gtid_option)));
  PREPARE rds_st FROM @rds_cmd;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT CONCAT('ASSIGN_GTIDS_TO_ANONYMOUS_TRANSACTIONS set to ', gtid_option) AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_configuration(IN setting VARCHAR(30), IN setting_value INT) SQL SECURITY DEFINER
BEGIN
  DECLARE old_log_bin TINYINT DEFAULT @@SESSION.sql_log_bin;
  DECLARE n INT DEFAULT 0;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    SET SESSION sql_log_bin = old_log_bin;
    RESIGNAL;
  END;
  SELECT COUNT(*) INTO n FROM mysql.rds_configuration c
    WHERE CONVERT(c.name USING utf8mb4) = CONVERT(setting USING utf8mb4) COLLATE utf8mb4_0900_ai_ci;
  IF n = 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Invalid configuration name';
  END IF;
  IF setting = 'binlog retention hours' AND setting_value NOT BETWEEN 1 AND 2160 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'For binlog retention hours the value must be between 1 and 2160 inclusive or be NULL';
  END IF;
  SET SESSION sql_log_bin = 0;
  UPDATE mysql.rds_configuration c SET c.value = setting_value
    WHERE CONVERT(c.name USING utf8mb4) = CONVERT(setting USING utf8mb4) COLLATE utf8mb4_0900_ai_ci;
  COMMIT;
  SET SESSION sql_log_bin = old_log_bin;
  IF setting = 'binlog retention hours' AND setting_value IS NOT NULL THEN
    SET GLOBAL binlog_expire_logs_seconds = setting_value * 3600;
  END IF;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_read_only(IN mode TINYINT) SQL SECURITY DEFINER
BEGIN
  -- Lost at a restart, as on Aurora, and it doesn't bind holders of CONNECTION_ADMIN.
  SET GLOBAL read_only = IF(mode = 1, 1, 0);
  SELECT CONCAT('read_only is now ', @@GLOBAL.read_only) AS Message;
END
$$
-- As on Aurora the master account holds its rights through a role: information_schema.USER_PRIVILEGES
-- doesn't show them, SHOW GRANTS FOR CURRENT_USER() does.
CREATE ROLE IF NOT EXISTS 'rds_superuser_role'@'%'
$$
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES,
  CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW,
  CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER, CREATE ROLE, DROP ROLE
  ON *.* TO 'rds_superuser_role'@'%' WITH GRANT OPTION
$$
GRANT APPLICATION_PASSWORD_ADMIN, CONNECTION_ADMIN, ROLE_ADMIN, XA_RECOVER_ADMIN, SHOW_ROUTINE,
  FLUSH_OPTIMIZER_COSTS, FLUSH_STATUS, FLUSH_USER_RESOURCES, {definer_privileges}
  ON *.* TO 'rds_superuser_role'@'%' WITH GRANT OPTION
$$
REVOKE INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES,
  CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER ON mysql.* FROM 'rds_superuser_role'@'%'
$$
CREATE USER IF NOT EXISTS 'admin'@'%' IDENTIFIED BY '{admin_password}'
$$
GRANT 'rds_superuser_role'@'%' TO 'admin'@'%' WITH ADMIN OPTION
$$
SET DEFAULT ROLE ALL TO 'admin'@'%'
$$
