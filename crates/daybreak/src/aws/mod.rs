//! S3 and RDS, as narrow as daybreak needs them. Only here are the AWS SDK's types known.
