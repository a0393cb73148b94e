-- The stand-in on MariaDB 10.11: Aurora's procedure names, auto position mapped to MASTER_USE_GTID=slave_pos.
-- A line that is nothing but $$ ends a statement.
--
-- Kinder than Aurora: MariaDB has no partial revokes, so `admin` can write to the schema `mysql`;
-- MyISAM is refused only under NO_ENGINE_SUBSTITUTION and becomes InnoDB otherwise.
-- Harsher: `read_only` binds `admin`, since MariaDB's CONNECTION ADMIN and READ_ONLY ADMIN would open SET GLOBAL.
-- Missing: the GTID procedures (rds_gtid_purged, until_gtid, skip with GTID), whose sets don't exist here.
SET SESSION sql_log_bin = 0
$$
CREATE USER IF NOT EXISTS 'rdsadmin'@'localhost' ACCOUNT LOCK
$$
GRANT ALL PRIVILEGES ON *.* TO 'rdsadmin'@'localhost' WITH GRANT OPTION
$$
CREATE TABLE IF NOT EXISTS mysql.rds_configuration (name VARCHAR(100) NOT NULL PRIMARY KEY, value VARCHAR(100), description VARCHAR(300)) ENGINE=InnoDB
$$
INSERT IGNORE INTO mysql.rds_configuration VALUES
 ('binlog retention hours', NULL, 'binlog retention hours specifies the duration in hours before binary logs are automatically deleted.'),
 ('source delay', 0, ''), ('target delay', 0, '')
$$
CREATE TABLE IF NOT EXISTS mysql.rds_history (action_timestamp TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6), called_by_user VARCHAR(352), action VARCHAR(64),
  master_host VARCHAR(255), master_port INT, master_user VARCHAR(96), master_log_file VARCHAR(512), master_log_pos BIGINT UNSIGNED, auto_position TINYINT) ENGINE=InnoDB
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_external_source(
  IN host VARCHAR(255), IN port INT, IN user TEXT, IN passwd TEXT, IN log_file TEXT, IN log_pos BIGINT, IN ssl_encryption TINYINT) SQL SECURITY DEFINER
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
  SET SESSION sql_log_bin = 0;
  SET @rds_cmd = CONCAT('CHANGE MASTER TO MASTER_HOST=', QUOTE(TRIM(host)), ', MASTER_PORT=', port, ', MASTER_USER=', QUOTE(user),
    ', MASTER_PASSWORD=', QUOTE(passwd), ', MASTER_LOG_FILE=', QUOTE(log_file), ', MASTER_LOG_POS=', log_pos,
    ', MASTER_USE_GTID=no, MASTER_SSL=', IF(ssl_encryption=1,1,0), ', MASTER_SSL_VERIFY_SERVER_CERT=0');
  PREPARE rds_st FROM @rds_cmd; SET @rds_cmd = NULL; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
  INSERT INTO mysql.rds_history(called_by_user, action, master_host, master_port, master_user, master_log_file, master_log_pos, auto_position)
    VALUES (USER(), 'set master', host, port, user, log_file, log_pos, 0);
  COMMIT; SET SESSION sql_log_bin = old_log_bin;
END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_external_source_with_auto_position(
  IN host VARCHAR(255), IN port INT, IN user TEXT, IN passwd TEXT, IN ssl_encryption TINYINT) SQL SECURITY DEFINER
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
  SET SESSION sql_log_bin = 0;
  SET @rds_cmd = CONCAT('CHANGE MASTER TO MASTER_HOST=', QUOTE(TRIM(host)), ', MASTER_PORT=', port, ', MASTER_USER=', QUOTE(user),
    ', MASTER_PASSWORD=', QUOTE(passwd), ', MASTER_USE_GTID=slave_pos, MASTER_SSL=', IF(ssl_encryption=1,1,0), ', MASTER_SSL_VERIFY_SERVER_CERT=0');
  PREPARE rds_st FROM @rds_cmd; SET @rds_cmd = NULL; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
  INSERT INTO mysql.rds_history(called_by_user, action, master_host, master_port, master_user, auto_position) VALUES (USER(), 'set master', host, port, user, 1);
  COMMIT; SET SESSION sql_log_bin = old_log_bin;
END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_start_replication() SQL SECURITY DEFINER
BEGIN
  DECLARE polls INT DEFAULT 0;
  DECLARE running INT DEFAULT 0;
  PREPARE rds_st FROM 'START SLAVE'; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
  WHILE polls < 50 AND running = 0 DO
    SELECT VARIABLE_VALUE INTO running FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'SLAVES_RUNNING';
    IF running = 0 THEN DO SLEEP(0.02); END IF;
    SET polls = polls + 1;
  END WHILE;
  SELECT IF(running > 0,
    'Replica running normally.', 'Replica has encountered an error. Run SHOW REPLICA STATUS\\G; to see the error.') AS Message;
END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_stop_replication() SQL SECURITY DEFINER
BEGIN PREPARE rds_st FROM 'STOP SLAVE'; EXECUTE rds_st; DEALLOCATE PREPARE rds_st; SELECT 'Slave is down or disabled' AS Message; END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_reset_external_source() SQL SECURITY DEFINER
BEGIN
  PREPARE rds_st FROM 'STOP SLAVE'; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM 'RESET SLAVE ALL'; EXECUTE rds_st; DEALLOCATE PREPARE rds_st; SELECT 'Slave has been reset' AS message;
END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_skip_repl_error() SQL SECURITY DEFINER
BEGIN
  PREPARE rds_st FROM 'STOP SLAVE'; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
  SET GLOBAL sql_slave_skip_counter = 1;
  PREPARE rds_st FROM 'START SLAVE'; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
  SELECT 'Statement in error has been skipped.' AS Message;
END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_next_source_log(IN curr_source_log INT, IN base_name VARCHAR(255)) SQL SECURITY DEFINER
BEGIN
  -- MariaDB keeps the current file in master.info, not a table: the stand-in needs the base name from SHOW REPLICA STATUS.
  SET @rds_cmd = CONCAT('CHANGE MASTER TO MASTER_LOG_FILE=', QUOTE(CONCAT(base_name,'.',LPAD(curr_source_log+1,6,'0'))), ', MASTER_LOG_POS=4');
  PREPARE rds_st FROM 'STOP SLAVE'; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM @rds_cmd; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM 'START SLAVE'; EXECUTE rds_st; DEALLOCATE PREPARE rds_st;
END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_configuration(IN p_name VARCHAR(30) CHARACTER SET utf8mb4, IN p_value INT) SQL SECURITY DEFINER
BEGIN
  DECLARE old_log_bin TINYINT DEFAULT @@SESSION.sql_log_bin;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    SET SESSION sql_log_bin = old_log_bin;
    RESIGNAL;
  END;
  SET SESSION sql_log_bin = 0;
  IF NOT EXISTS (SELECT 1 FROM mysql.rds_configuration c WHERE CONVERT(c.name USING utf8mb4) = p_name COLLATE utf8mb4_general_ci) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Invalid configuration name';
  END IF;
  UPDATE mysql.rds_configuration c SET c.value = p_value WHERE CONVERT(c.name USING utf8mb4) = p_name COLLATE utf8mb4_general_ci;
  SET SESSION sql_log_bin = old_log_bin;
  IF p_name = 'binlog retention hours' AND p_value IS NOT NULL THEN SET GLOBAL binlog_expire_logs_seconds = p_value*3600; END IF;
END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_show_configuration() SQL SECURITY DEFINER
BEGIN SELECT name, value, description FROM mysql.rds_configuration ORDER BY name; END
$$
CREATE USER IF NOT EXISTS 'admin'@'%' IDENTIFIED BY '{admin_password}'
$$
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES,
  LOCK TABLES, EXECUTE, REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE,
  CREATE USER, EVENT, TRIGGER, DELETE HISTORY, SET USER ON *.* TO 'admin'@'%' WITH GRANT OPTION
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_read_only(IN mode TINYINT) SQL SECURITY DEFINER
BEGIN
  SET GLOBAL read_only = IF(mode = 1, 1, 0);
  SELECT CONCAT('read_only is now ', @@GLOBAL.read_only) AS Message;
END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_kill(IN thread BIGINT) SQL SECURITY DEFINER
BEGIN KILL thread; END
$$
CREATE OR REPLACE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_kill_query(IN thread BIGINT) SQL SECURITY DEFINER
BEGIN KILL QUERY thread; END
$$
