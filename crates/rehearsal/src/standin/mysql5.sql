-- The stand-in on restored data of MySQL 5.6 and 5.7: the procedures by the names of Aurora MySQL 2 (`..._master`).
-- Aurora takes 5.7 only; 5.6 is a rehearsal's. A line that is nothing but $$ ends a statement.
--
-- Kinder than Aurora: the schema `mysql` can be written to, rds_set_configuration purges nothing.
-- Harsher: `read_only` binds `admin`, who has no SUPER, and there is no procedure that sets it (nor on Aurora 2).
-- Missing: the procedures of GTIDs, rds_next_master_log, rds_start_replication_until.
SET SESSION sql_log_bin = 0
$$
CREATE USER 'rdsadmin'@'localhost' IDENTIFIED BY PASSWORD '*THISISNOTAVALIDPASSWORDTHATCANBEUSEDHERE'
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_set_external_master(
  IN host VARCHAR(255), IN port INT, IN user TEXT, IN passwd TEXT, IN log_file TEXT, IN log_pos BIGINT, IN ssl_encryption TINYINT)
  SQL SECURITY DEFINER
BEGIN
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    SET @rds_cmd = NULL;
    -- A statement that failed to run is still prepared, and its text holds the password.
    PREPARE rds_st FROM 'DO 0';
    DEALLOCATE PREPARE rds_st;
    RESIGNAL;
  END;
  SET @rds_cmd = CONCAT('CHANGE MASTER TO MASTER_HOST=', QUOTE(TRIM(host)), ', MASTER_PORT=', port, ', MASTER_USER=', QUOTE(user),
    ', MASTER_PASSWORD=', QUOTE(passwd), ', MASTER_AUTO_POSITION=0, MASTER_LOG_FILE=', QUOTE(log_file),
    ', MASTER_LOG_POS=', log_pos, ', MASTER_SSL=', IF(ssl_encryption = 1, 1, 0));
  PREPARE rds_st FROM @rds_cmd;
  SET @rds_cmd = NULL;
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_start_replication() SQL SECURITY DEFINER
BEGIN
  PREPARE rds_st FROM 'START SLAVE';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT 'Slave running normally.' AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_stop_replication() SQL SECURITY DEFINER
BEGIN
  PREPARE rds_st FROM 'STOP SLAVE';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT 'Slave is down or disabled' AS Message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_reset_external_master() SQL SECURITY DEFINER
BEGIN
  PREPARE rds_st FROM 'STOP SLAVE';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  PREPARE rds_st FROM 'RESET SLAVE ALL';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT 'Slave has been reset' AS message;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_skip_repl_error() SQL SECURITY DEFINER
BEGIN
  PREPARE rds_st FROM 'STOP SLAVE';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SET GLOBAL sql_slave_skip_counter = 1;
  PREPARE rds_st FROM 'START SLAVE';
  EXECUTE rds_st;
  DEALLOCATE PREPARE rds_st;
  SELECT 'Statement in error has been skipped.' AS Message;
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
    WHERE CONVERT(c.name USING utf8mb4) = CONVERT(setting USING utf8mb4) COLLATE utf8mb4_general_ci;
  IF n = 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'Invalid configuration name';
  END IF;
  SET SESSION sql_log_bin = 0;
  UPDATE mysql.rds_configuration c SET c.value = setting_value
    WHERE CONVERT(c.name USING utf8mb4) = CONVERT(setting USING utf8mb4) COLLATE utf8mb4_general_ci;
  COMMIT;
  SET SESSION sql_log_bin = old_log_bin;
END
$$
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES,
  CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW,
  CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER
  ON *.* TO 'admin'@'%' IDENTIFIED BY '{admin_password}' WITH GRANT OPTION
$$
