-- What every version of MySQL has in common here, after the accounts of mysql.sql or mysql5.sql.
-- A line that is nothing but $$ ends a statement.
GRANT ALL PRIVILEGES ON *.* TO 'rdsadmin'@'localhost' WITH GRANT OPTION
$$
CREATE TABLE IF NOT EXISTS mysql.rds_configuration (
  name VARCHAR(100) NOT NULL PRIMARY KEY, value VARCHAR(100), description VARCHAR(300)) ENGINE=InnoDB
$$
INSERT IGNORE INTO mysql.rds_configuration VALUES
 ('binlog retention hours', NULL, 'binlog retention hours specifies the duration in hours before binary logs are automatically deleted.'),
 ('source delay', 0, 'source delay specifies replication delay in seconds between current instance and its master.'),
 ('target delay', 0, 'target delay specifies replication delay in seconds between current instance and its future read-replica.')
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_show_configuration() SQL SECURITY DEFINER
BEGIN
  SELECT name, value, description FROM mysql.rds_configuration ORDER BY name;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_kill(IN thread BIGINT) SQL SECURITY DEFINER
BEGIN
  KILL thread;
END
$$
CREATE DEFINER='rdsadmin'@'localhost' PROCEDURE mysql.rds_kill_query(IN thread BIGINT) SQL SECURITY DEFINER
BEGIN
  KILL QUERY thread;
END
$$
